"""Makes examples/images: drawings on simple backgrounds for the demo checkpoint, and a few photographs.

    python pictures.py --work WORK --out examples/images

The photographs come out of the scikit-image and scikit-learn packages, which are only looked into, never imported.
"""

import argparse
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

import render
import sources


@dataclass(frozen=True)
class Drawing:
    """One picture: its file, which emoji of which design, its size, the share that is drawn, top and bottom colours."""

    file: str
    emoji: str
    design: str
    size: tuple[int, int] = (320, 320)
    share: float = 0.8
    top: str = "#dfeefa"
    bottom: str = ""


DRAWINGS = [
    Drawing("owl.png", "🦉", "noto", top="#cfe8f7"),
    Drawing("fox.png", "🦊", "noto", top="#d9efd0"),
    Drawing("bear.png", "🐻", "noto", top="#fbeecb"),
    Drawing("owl.jpg", "🦉", "twemoji", (400, 300), 0.85, "#b9d7f2", "#f4f7d9"),
    Drawing("mixed/img_01.png", "🐱", "noto", (256, 256), 0.85, "#fde8e8"),
    Drawing("mixed/img_02.jpg", "🐕", "twemoji", (320, 240), 0.85, "#e8f3dc", "#cfe3b8"),
    Drawing("mixed/img_03.webp", "🍕", "fluent-flat", (256, 256), 0.8, "#e9f2fb"),
    Drawing("mixed/img_04.jpg", "🚗", "noto", (320, 240), 0.9, "#d6e6f2", "#eef1f3"),
    Drawing("mixed/img_05.webp", "🐈", "noto", (256, 256), 0.85, "#f1e9f8"),
    Drawing("mixed/img_06.png", "🍕", "twemoji", (240, 320), 0.7, "#fff4d6"),
    Drawing("mixed/img_07.jpg", "🐶", "fluent", (256, 256), 0.8, "#e4f1ee", "#ffffff"),
    Drawing("mixed/img_08.png", "🚗", "twemoji", (256, 256), 0.85, "#e6eef0"),
    Drawing("mixed/img_09.jpg", "🐱", "fluent-flat", (256, 256), 0.75, "#dcebf7", "#ffffff"),
    Drawing("mixed/img_10.webp", "🐶", "noto", (256, 256), 0.85, "#fdf0dc"),
]
PHOTOS = {
    "photos/cat.jpg": ("skimage", "data/chelsea.png"),
    "photos/coffee.jpg": ("skimage", "data/coffee.png"),
    "photos/rocket.jpg": ("skimage", "data/rocket.jpg"),
    "photos/temple.jpg": ("sklearn", "datasets/images/china.jpg"),
}


def background(size: tuple[int, int], top: str, bottom: str) -> Image.Image:
    """One colour, or one running into another from top to bottom."""
    first, last = Image.new("RGB", size, top), Image.new("RGB", size, bottom or top)
    return Image.composite(last, first, Image.linear_gradient("L").resize(size))


def drawn(drawing: Drawing, work: Path) -> Image.Image:
    """The picture."""
    svgs = {sources.plain(e): s for e, s in sources.drawings(sources.TRAINING[drawing.design], work).items()}
    side = round(min(drawing.size) * drawing.share)
    figure = render.rasterise(svgs[drawing.emoji][0], side)
    picture = background(drawing.size, drawing.top, drawing.bottom)
    place = [(whole - part) // 2 for whole, part in zip(drawing.size, figure.size)]
    picture.paste(figure, place, figure.getchannel("A"))
    return picture


def photograph(package: str, path: str) -> Image.Image:
    """A photograph out of a package, at most 640 pixels wide."""
    spec = find_spec(package)
    image = Image.open(Path(spec.origin).parent / path).convert("RGB")
    image.thumbnail((640, 640))
    return image


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {".jpg": {"quality": 80}, ".webp": {"quality": 85}, ".png": {"optimize": True}}
    image.save(path, **options[path.suffix])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    for drawing in DRAWINGS:
        save(drawn(drawing, args.work), args.out / drawing.file)
    for file, (package, path) in PHOTOS.items():
        save(photograph(package, path), args.out / file)


if __name__ == "__main__":
    main()
