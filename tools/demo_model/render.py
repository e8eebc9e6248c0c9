"""From SVGs to one array of small drawings, done once before training.

Each drawing is cut to what is drawn and fitted into a square of `SIDE` pixels; colours are multiplied by alpha.
There are three kinds, which augment.py colours differently:

* colour: the drawing as it is;
* lined: a colour drawing made flat, with black lines between its areas and around it, as many designs are drawn;
* mono: one ink. Channel 0 is the ink, channel 1 the paper that it encloses, channel 3 both.

    python render.py --work WORK [--only DESIGN ...]

writes WORK/drawings.npy (uint8, N x SIDE x SIDE x 4) and WORK/drawings.json (design, kind and emoji of each).
"""

import argparse
import json
from io import BytesIO
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

import sources

SIDE, FINE, MARGIN = 96, 192, 6


def rasterise(svg: str, side: int) -> Image.Image:
    """An SVG as RGBA, `side` pixels wide."""
    import resvg_py

    return Image.open(BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=side)))).convert("RGBA")


def fitted(image: Image.Image) -> Image.Image | None:
    """What is drawn, in the middle of a square of `FINE` pixels with a margin; None for an empty drawing."""
    box = image.getchannel("A").point(lambda a: 255 * (a > 8)).getbbox()
    if box is None:
        return None
    cut = image.crop(box)
    room = FINE - 2 * MARGIN
    ratio = room / max(cut.size)
    size = [max(1, round(s * ratio)) for s in cut.size]
    square = Image.new("RGBA", (FINE, FINE))
    square.paste(cut.resize(size, Image.Resampling.BICUBIC), [(FINE - s) // 2 for s in size])
    return square


def premultiplied(image: Image.Image) -> np.ndarray:
    """The pixels at `SIDE`, colours multiplied by alpha."""
    pixels = np.asarray(image, np.float32)
    pixels[..., :3] *= pixels[..., 3:] / 255
    pixels = pixels.reshape(SIDE, FINE // SIDE, SIDE, FINE // SIDE, 4).mean((1, 3))
    return np.round(pixels).astype(np.uint8)


def lined(image: Image.Image, width: int) -> Image.Image:
    """The drawing in a few flat colours with black lines where they meet."""
    inside = image.getchannel("A").point(lambda a: 255 * (a > 128))
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    flat = white.quantize(8, dither=Image.Dither.NONE).filter(ImageFilter.ModeFilter(5))
    area = np.where(np.asarray(inside) > 0, np.asarray(flat).astype(int) + 1, 0)
    edge = np.zeros(area.shape, np.uint8)
    edge[1:] |= area[1:] != area[:-1]
    edge[:, 1:] |= area[:, 1:] != area[:, :-1]
    line = Image.fromarray(edge * 255).filter(ImageFilter.MaxFilter(width))
    colours = flat.convert("RGB")
    colours.paste("black", mask=line)
    colours.putalpha(Image.fromarray(np.maximum(np.asarray(inside), np.asarray(line))))
    return colours


def inked(image: Image.Image) -> Image.Image:
    """A one-ink drawing as ink and enclosed paper, see the top of this file."""
    ink = image.getchannel("A")
    outside = ink.point(lambda a: 255 * (a > 128))
    ImageDraw.floodfill(outside, (0, 0), 128)
    paper = outside.point(lambda a: 255 * (a == 0))
    both = Image.fromarray(np.maximum(np.asarray(ink), np.asarray(paper)))
    return Image.merge("RGBA", (ink, paper, Image.new("L", ink.size), both))


def variants(job: tuple[str, str, str, str]) -> list[tuple[dict, np.ndarray]]:
    """All drawings made from one SVG."""
    design, kind, emoji, svg = job
    image = fitted(rasterise(svg, FINE))
    if image is None:
        return []
    about = {"design": design, "emoji": emoji}
    if kind == "mono":
        ink = np.asarray(inked(image), np.float32).reshape(SIDE, 2, SIDE, 2, 4).mean((1, 3))
        return [({**about, "kind": "mono"}, np.round(ink).astype(np.uint8))]
    width = 3 + 2 * (hash_of(design + emoji) % 2)
    return [
        ({**about, "kind": "colour"}, premultiplied(image)),
        ({**about, "kind": "lined"}, premultiplied(lined(image, width))),
    ]


def hash_of(text: str) -> int:
    """A small number that is the same in every run."""
    return sum(ord(c) * (i + 1) for i, c in enumerate(text))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=list(sources.TRAINING))
    args = parser.parse_args()
    jobs = []
    for key in args.only:
        design = sources.TRAINING[key]
        for emoji, svgs in sources.drawings(design, args.work).items():
            jobs += [(key, design.kind, emoji, svg) for svg in svgs]
    with Pool(2) as pool:
        made = [drawing for group in pool.imap(variants, jobs, chunksize=32) for drawing in group]
    np.save(args.work / "drawings.npy", np.stack([pixels for _, pixels in made]))
    (args.work / "drawings.json").write_text(json.dumps([about for about, _ in made], ensure_ascii=False))
    print(f"{len(made)} drawings of {len({about['emoji'] for about, _ in made})} emoji")


if __name__ == "__main__":
    main()
