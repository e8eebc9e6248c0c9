"""Makes tests/fixtures/boxes: crops as MegaDetector's own package cuts them, and a results file that its package wrote.

Needs `pip install megadetector` (10.0.28 made the committed files). Run it in the repository.
"""

import ast
import hashlib
import inspect
import json
import random
import sys
from pathlib import Path

from PIL import Image, ImageOps

OUT = Path("tests/fixtures/boxes")


def own_save_crop():
    """Returns the package's `save_crop`, without the imports of its file, which want a cloud."""
    import megadetector

    path = Path(inspect.getfile(megadetector)).parent / "classification/crop_detections.py"
    tree = ast.parse(path.read_text())
    body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "save_crop"]
    names = {"Image": Image, "ImageOps": ImageOps, "Sequence": list, "tqdm": Quiet, "os": __import__("os")}
    exec(compile(ast.Module(body, []), str(path), "exec"), names)
    return names["save_crop"]


class Quiet:
    @staticmethod
    def write(_):
        pass


def crops():
    save_crop = own_save_crop()
    random.seed(5)
    cases = []
    for number in range(60):
        width, height = random.choice([(40, 30), (31, 47), (17, 64), (64, 17), (9, 9)])
        pixels = bytes(n * 7 % 251 for n in range(width * height * 3))
        image = Image.frombytes("RGB", (width, height), pixels)
        left, top = random.uniform(-0.1, 0.9), random.uniform(-0.1, 0.9)
        bbox = [left, top, random.uniform(0.02, 1.1), random.uniform(0.02, 1.1)]
        if number % 10 == 0:
            bbox = [[0, 0, 1, 1], [0.2, 0.4, 0.001, 0.5], [1.2, 0.1, 0.3, 0.3], [0, 0, 0.3, 1], [0.5, 0.5, 0.5, 0.5], [0, 0.9, 1, 0.1]][number // 10]
        for square in [True, False]:
            path = OUT / "crop.png"
            cut = None
            x, y, w, h = (int(share * side) for share, side in zip(bbox, [width, height, width, height]))
            box = (max(x, 0), max(y, 0), min(x + w, width), min(y + h, height))
            inside = box[0] < box[2] and box[1] < box[3]
            if square and max(w, h) > max(width, height):
                continue  # no detector finds such a box, and the package enlarges the image for it
            # The package moves a box that is not in the image into it; zsic refuses it.
            if square and inside and save_crop(image, bbox, True, str(path)):
                cut = Image.open(path)
                cut.load()
                path.unlink()
            elif not square and inside:
                cut = image.crop(box)
            case = {"image": [width, height], "bbox": bbox, "square": square, "size": cut and list(cut.size)}
            if cut:
                case["sha256"] = hashlib.sha256(cut.tobytes()).hexdigest()
            cases.append(case)
    (OUT / "crops.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


def results():
    from megadetector.detection.run_detector_batch import write_results_to_file

    def found(conf, bbox, category="1"):
        return {"category": category, "conf": conf, "bbox": bbox}

    images = [
        {"file": "owl.png", "detections": [found(0.93, [0.1, 0.05, 0.8, 0.9]), found(0.12, [0.0, 0.0, 0.3, 0.3])]},
        {"file": "more/fox.png", "detections": [found(0.812, [0.05, 0.1, 0.9, 0.85]), found(0.7, [0.6, 0.6, 0.6, 0.6], "2")]},
        {"file": "empty.png", "detections": []},
        {"file": "missing.png", "detections": [found(0.5, [0.1, 0.1, 0.5, 0.5])]},
        {"file": "broken.png", "detections": None, "failure": "Failure image access"},
    ]
    write_results_to_file(images, str(OUT / "megadetector.json"), detector_file="md_v5a.0.1.pt")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    crops()
    results()
    sys.exit(0)
