"""Decoding one picture in every format on one core: zsic beside Pillow, which reads HEIC with libheif (pillow_heif) and
JPEG XL with libjxl (pillow_jxl). Prints milliseconds (best of three) and zsic's peak of memory.
usage: formats.py PREPROCESS_SPEED FOLDER [WIDTH HEIGHT]   (cargo build --release --example preprocess_speed)

FOLDER is filled with pictures of 4000x3000 pixels, or of the size given. needs: pip install pillow pillow_heif
pillow-jxl-plugin numpy imageio-ffmpeg"""

import io
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pillow_heif
import pillow_jxl  # noqa: F401 (registers itself)
from PIL import AvifImagePlugin, Image, ImageOps

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
from fixtures.decode import heif  # noqa: E402

AvifImagePlugin.DEFAULT_MAX_THREADS = 1
pillow_heif.options.DECODE_THREADS = 1
pillow_heif.register_heif_opener()


def photograph(width, height):
    """Noise at every scale, as photographs have it, and some grain."""
    rng = np.random.default_rng(0)
    pixels = np.zeros((height, width, 3))
    for side in (4, 16, 64, 256, 1024):
        small = rng.integers(0, 256, (side * 3 // 4, side, 3), np.uint8)
        scaled = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
        pixels += np.asarray(scaled, float) / side**0.5
    pixels = (pixels - pixels.mean()) * (50 / pixels.std()) + 128 + rng.normal(0, 3, (height, width, 1))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def phone(pixels):
    """HEIC with the structure of a phone's: tiles of 512 pixels, turned."""
    items = []
    height, width = pixels.shape[:2]
    numbers = heif.tiles(heif.libheif, pixels, 512, items)
    items.append(heif.grid(numbers, -(-width // 512), width, height, [heif.irot(3), heif.nclx(12, 6, True)]))
    return heif.file_of(items, len(items))


def files(pixels):
    image = Image.fromarray(pixels)

    def saved(kind, **options):
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    yield "jpeg.jpg", lambda: saved("JPEG", quality=90)
    yield "png.png", lambda: saved("PNG", compress_level=3)
    yield "webp.webp", lambda: saved("WEBP", quality=85, method=2)
    yield "tiff-zstd.tif", lambda: saved("TIFF", compression="zstd")
    yield "avif.avif", lambda: saved("AVIF", quality=75, speed=8)
    yield "avif-444.avif", lambda: saved("AVIF", quality=75, speed=8, subsampling="4:4:4")
    yield "heic.heic", lambda: heif.libheif(pixels, quality=75)
    yield "heic-phone.heic", lambda: phone(pixels)
    yield "jxl.jxl", lambda: saved("JXL", quality=90, effort=4)
    yield "jxl-lossless.jxl", lambda: saved("JXL", lossless=True, effort=2)
    yield "jp2.jp2", lambda: saved("JPEG2000", quality_mode="rates", quality_layers=[12], irreversible=True)
    yield "jp2-lossless.jp2", lambda: saved("JPEG2000")


def best(work):
    times = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    width, height = map(int, sys.argv[3:5] or (4000, 3000))
    pixels = photograph(width, height)
    core = min(os.sched_getaffinity(0))
    print("| format | MB | zsic, ms | Pillow, ms | ratio | zsic's peak, MB |\n|---|---|---|---|---|---|")
    for name, make in files(pixels):
        own = folder / f"{width}x{height}" / name.split(".")[0]
        own.mkdir(parents=True, exist_ok=True)
        path = own / name
        if not path.exists():
            path.write_bytes(make())
    os.sched_setaffinity(0, {core})
    for path in sorted((folder / f"{width}x{height}").glob("*/*")):
        answer = subprocess.run([program, "decode", path.parent], check=True, capture_output=True, text=True).stdout
        rate, peak = float(answer.split()[1]), answer.split("peak ")[1].split()[0]
        data = path.read_bytes()
        rival = best(lambda: ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
        own = 1000 / rate
        print(f"| {path.parent.name} | {len(data) / 1e6:.1f} | {own:.0f} | {rival:.0f} | {rival / own:.2f} | {peak} |", flush=True)


if __name__ == "__main__":
    main()
