"""Decoding JPEG files, and decoding and resizing them to CLIP's 224 pixels, on one thread each: zsic beside
libjpeg-turbo alone (simplejpeg), Pillow and torchvision, images a second (best of three passes over a folder's files).
usage: decode.py PREPROCESS_SPEED FOLDER...   (cargo build --release --example preprocess_speed; simplejpeg and torchvision
are left out where they are not installed)"""

import importlib.metadata
import io
import pathlib
import subprocess
import sys
import time

from PIL import Image, ImageOps


def rate(work, files):
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        for file in files:
            work(file)
        best = min(best, time.perf_counter() - start)
    return len(files) / best


def pillow(file):
    return ImageOps.exif_transpose(Image.open(io.BytesIO(file))).convert("RGB")


def pillow_resized(file):
    image = pillow(file)
    scale = 224 / min(image.size)
    width, height = (int(side * scale) for side in image.size)
    left, top = (width - 224) // 2, (height - 224) // 2
    return image.resize((width, height), Image.BICUBIC).crop((left, top, left + 224, top + 224))


def rivals():
    yield "Pillow", "decode", pillow
    yield "Pillow", "exact", pillow_resized
    try:
        import simplejpeg

        yield "simplejpeg", "decode", lambda file: simplejpeg.decode_jpeg(file, "RGB")
    except ImportError:
        pass
    try:
        import torch
        import torchvision
        from torchvision.transforms.v2 import functional

        torch.set_num_threads(1)
        mode = torchvision.io.ImageReadMode.RGB

        def decoded(file):
            data = torch.frombuffer(bytearray(file), dtype=torch.uint8)
            return torchvision.io.decode_jpeg(data, mode=mode, apply_exif_orientation=True)

        def resized(file):
            bicubic = functional.InterpolationMode.BICUBIC
            return functional.center_crop(functional.resize(decoded(file), [224], bicubic, antialias=True), [224, 224])

        yield "torchvision", "decode", decoded
        yield "torchvision", "exact", resized
    except ImportError:
        pass


def main():
    program, folders = sys.argv[1], sys.argv[2:]
    for name in ["pillow", "simplejpeg", "torchvision"]:
        try:
            print(name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            print(name, "is not installed")
    for folder in folders:
        for what in ["decode", "exact", "fast"]:
            answer = subprocess.run([program, what, folder], check=True, capture_output=True, text=True)
            print(f"{folder}: zsic {answer.stdout.strip()}", flush=True)
        files = [path.read_bytes() for path in sorted(pathlib.Path(folder).glob("*.jpg"))]
        for name, what, work in rivals():
            print(f"{folder}: {name} {what} {rate(work, files):.2f} images/s", flush=True)


if __name__ == "__main__":
    main()
