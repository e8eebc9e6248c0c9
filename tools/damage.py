"""Damaged images, and whether Pillow reads them: to compare with what zsic makes of the same folder.

usage: damage.py GOOD_DIR OUT_DIR [--seed N] [--count N]
       damage.py OUT_DIR --compare RESULTS.jsonl

The first form takes images from GOOD_DIR and fills OUT_DIR with COUNT damaged ones, as many whole ones, and
verdicts.json: for each file "ok", or the error of Pillow's open, EXIF transpose and conversion to RGB. The damage is
what happens to real collections (files cut short, flipped bits, wrong names, web pages in place of pictures) and what
an attacker would send (headers that promise gigapixels, pipes, folders named like images).

The second form reads what `zsic classify OUT_DIR --format jsonl` wrote and lists the files on which the two disagree;
its exit status is 1 if there are any.

needs: pip install pillow
"""

import argparse
import io
import json
import os
import random
import struct
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageOps

SIDE = 60000  # of a bomb: 3.6 gigapixels
VERDICTS = "verdicts.json"

# ---------------------------------------------------------------------------------------------------------------------
# Damage to bytes: each takes a random source and a whole file, and gives the damaged file


def cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(1, len(data))]


def cut_last_byte(rng: random.Random, data: bytes) -> bytes:
    return data[:-1]


def cut_near_end(rng: random.Random, data: bytes) -> bytes:
    return data[: -rng.randrange(2, 40)]


def flip_header(rng: random.Random, data: bytes) -> bytes:
    """One to four bytes of the first 64 are replaced."""
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        damaged[rng.randrange(min(64, len(data)))] = rng.randrange(256)
    return bytes(damaged)


def flip_bits(rng: random.Random, data: bytes) -> bytes:
    """One to three bits flip behind the first tenth of the file, which is mostly picture data."""
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        damaged[rng.randrange(len(data) // 10, len(data))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def zero_block(rng: random.Random, data: bytes) -> bytes:
    """A stretch of zeros, as after an interrupted download or a bad disk block."""
    start = rng.randrange(len(data))
    length = min(512, len(data) - start)
    return data[:start] + bytes(length) + data[start + length :]


def junk_behind(rng: random.Random, data: bytes) -> bytes:
    return data + rng.randbytes(rng.randrange(1, 200))


DAMAGE = [cut, cut_last_byte, cut_near_end, flip_header, flip_bits, zero_block, junk_behind]

# ---------------------------------------------------------------------------------------------------------------------
# Files that never were images


def png_bomb() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")


def gif_bomb() -> bytes:
    screen = struct.pack("<HHBBB", SIDE, SIDE, 0x80, 0, 0) + bytes([0, 0, 0, 255, 255, 255])
    return b"GIF89a" + screen + b"," + struct.pack("<HHHHB", 0, 0, SIDE, SIDE, 0) + b"\2\2\x44\1\0;"


def bmp_bomb() -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 154, 0, 0, 54, 40, SIDE, SIDE, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(100)


def tiff_bomb() -> bytes:
    tags = [(256, SIDE), (257, SIDE), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, SIDE), (279, 100)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 108) + bytes(100) + struct.pack("<H", len(tags)) + entries + bytes(4)


def webp_bomb() -> bytes:
    side = struct.pack("<I", SIDE - 1)[:3]
    body = (
        b"WEBPVP8X"
        + struct.pack("<I", 10)
        + bytes(4)
        + side
        + side
        + b"VP8L"
        + struct.pack("<I", 6)
        + b"\x2f\0\0\0\0\0"
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_bomb() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    data = buffer.getvalue()
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", SIDE, SIDE) + data[at + 4 :]


def pnm_bomb() -> bytes:
    return b"P6\n%d %d\n255\n" % (SIDE, SIDE) + bytes(100)


IMPOSTORS: list[tuple[str, Callable[[], bytes]]] = [
    ("empty.jpg", lambda: b""),
    ("text.png", lambda: b"The picture was moved.\n"),
    ("page.jpg", lambda: b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head></html>\n"),
    ("drawing.png", lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>\n'),
    ("signature-only.png", lambda: b"\x89PNG\r\n\x1a\n"),
    ("signature-only.jpg", lambda: b"\xff\xd8\xff\xe0"),
    ("bomb.png", png_bomb),
    ("bomb.gif", gif_bomb),
    ("bomb.bmp", bmp_bomb),
    ("bomb.tif", tiff_bomb),
    ("bomb.webp", webp_bomb),
    ("bomb.jpg", jpeg_bomb),
    ("bomb.ppm", pnm_bomb),
]

# ---------------------------------------------------------------------------------------------------------------------


def verdict(path: Path) -> str | dict[str, str]:
    """What Pillow says of the file."""
    if path.is_fifo():
        return {"error": "a pipe: opening it would wait for ever"}
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            ImageOps.exif_transpose(image).convert("RGB")
    except Exception as error:  # noqa: BLE001 (whatever Pillow raises is the verdict)
        return {"error": f"{type(error).__name__}: {error}".replace(str(path), path.name)}
    return "ok"


def damaged_file(out: Path, number: int, rng: random.Random, good: list[Path]) -> Path:
    """Makes damaged file `number`; the kinds of damage take turns."""
    source = rng.choice(good)
    turns = len(DAMAGE) + 3
    kind = number % turns
    if kind < len(DAMAGE):
        damage = DAMAGE[kind]
        path = out / f"{number:04}-{damage.__name__.replace('_', '-')}{source.suffix}"
        path.write_bytes(damage(rng, source.read_bytes()))
    elif kind == len(DAMAGE):
        suffix = rng.choice(
            [s for s in (".jpg", ".png", ".webp", ".gif", ".bmp", ".tif") if s != source.suffix.lower()]
        )
        path = out / f"{number:04}-misnamed{suffix}"
        path.write_bytes(source.read_bytes())
    elif kind == len(DAMAGE) + 1:
        name, make = IMPOSTORS[number // turns % len(IMPOSTORS)]
        path = out / f"{number:04}-{name}"
        path.write_bytes(make())
    else:
        path = special_file(out, number, source, number // turns % 3)
    return path


def special_file(out: Path, number: int, source: Path, kind: int) -> Path:
    """A folder, a pipe, or a file that may not be read."""
    path = out / f"{number:04}-{('folder', 'pipe', 'unreadable')[kind]}{source.suffix}"
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        os.mkfifo(path)
    else:
        path.write_bytes(source.read_bytes())
        path.chmod(0)
    return path


def make(good_dir: Path, out: Path, seed: int, count: int) -> None:
    good = sorted(p for p in good_dir.rglob("*") if p.is_file() and p.stat().st_size > 64 and verdict(p) == "ok")
    if not good:
        sys.exit(f"{good_dir}: no image that Pillow reads")
    out.mkdir(parents=True)  # an existing folder is an error: its files would mix with these
    rng = random.Random(seed)
    verdicts = {}
    for number in range(count):
        source = rng.choice(good)
        whole = out / f"{number:04}-whole{source.suffix}"
        whole.write_bytes(source.read_bytes())
        for path in (whole, damaged_file(out, number, rng, good)):
            verdicts[path.name] = verdict(path)
    (out / VERDICTS).write_text(json.dumps(verdicts, indent=1) + "\n")
    refused = sum(v != "ok" for v in verdicts.values())
    print(f"{out}: {len(verdicts)} files, of which Pillow reads {len(verdicts) - refused} and refuses {refused}")


def disagreement(name: str, pillow: str | dict, records: list[dict], skipped: bool) -> str | None:
    """What is wrong with zsic's records of one file; pipes and folders are to have none."""
    if skipped:
        return "a record for what should be skipped" if records else None
    if len(records) != 1:
        return f"{len(records)} records"
    error = records[0].get("error")
    if pillow == "ok" and error:
        return f"Pillow reads it; zsic: {error['kind']}: {error['message']}"
    if pillow != "ok" and not error:
        return f"zsic scores it; Pillow: {pillow['error']}"
    return None


def compare(out: Path, results: Path) -> bool:
    """Prints every disagreement and a summary; whether there was none."""
    verdicts = json.loads((out / VERDICTS).read_text())
    records: dict[str, list[dict]] = {}
    for line in results.read_text().splitlines():
        record = json.loads(line)
        records.setdefault(Path(record["image"]).name, []).append(record)
    kinds = Counter()
    for name, pillow in verdicts.items():
        skipped = (out / name).is_dir() or (out / name).is_fifo()
        if problem := disagreement(name, pillow, records.pop(name, []), skipped):
            kinds[name[5:].rsplit(".", 1)[0]] += 1
            print(f"{name}: {problem}")
    for name in records:
        kinds["unknown"] += 1
        print(f"{name}: a record, but no such file in {VERDICTS}")
    summary = ", ".join(f"{kind} {number}" for kind, number in kinds.most_common())
    print(f"{len(verdicts)} files, {kinds.total()} disagreements{': ' + summary if summary else ''}")
    return not kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="GOOD_DIR OUT_DIR, or OUT_DIR to compare")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--count", type=int, default=200, metavar="N", help="of damaged files (default: 200)")
    parser.add_argument("--compare", type=Path, metavar="RESULTS.jsonl", help="what zsic wrote for OUT_DIR")
    options = parser.parse_args()
    if len(options.folders) != (1 if options.compare else 2):
        parser.error("give GOOD_DIR and OUT_DIR, or OUT_DIR and --compare RESULTS.jsonl")
    if options.compare:
        sys.exit(0 if compare(options.folders[0], options.compare) else 1)
    make(*options.folders, options.seed, options.count)


if __name__ == "__main__":
    main()
