"""One picture, whole command: zsic beside the transformers pipeline on the same files, in turns.

    python benches/rivals/one_picture.py target/release/zsic CHECKPOINT_DIR IMAGE [--runs 5]

Prints each one's median wall time and peak memory (mapped pages counted) and the ratios. The first, cold run of each is
not counted. Needs torch, torchvision, transformers and pillow.
"""

import argparse
import importlib.metadata
import os
import platform
import statistics
import sys
import time

LABELS = "fox,bear,seagull,owl"
PIPELINE = """
import sys, json, torch
from transformers import pipeline
model, image, labels = sys.argv[1:]
classify = pipeline("zero-shot-image-classification", model=model, dtype=torch.float32, device="cpu")
print(json.dumps(classify(image, candidate_labels=labels.split(","))))
"""


def measure(command):
    """Wall seconds and peak megabytes of one run."""
    start = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                                                                         (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)])
    _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit(f"failed: {' '.join(command)}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zsic")
    parser.add_argument("checkpoint")
    parser.add_argument("image")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    commands = {
        "zsic": [args.zsic, "classify", "--no-cache", args.image, "-l", LABELS, "-m", args.checkpoint],
        "transformers": [sys.executable, "-c", PIPELINE, args.checkpoint, args.image, LABELS],
    }
    # Not imported here: a child's peak begins with what this process holds.
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers"))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; {versions}")
    runs = {name: [] for name in commands}
    for turn in range(args.runs + 1):
        for name, command in commands.items():
            result = measure(command)
            if turn:
                runs[name].append(result)
    medians = {name: [statistics.median(column) for column in zip(*results)] for name, results in runs.items()}
    for name, (seconds, megabytes) in medians.items():
        print(f"{name:13} {seconds:6.2f} s  {megabytes:7.0f} MB")
    (ours, our_memory), (theirs, their_memory) = medians["zsic"], medians["transformers"]
    print(f"zsic takes {ours / theirs:.2f} of the time and {our_memory / their_memory:.2f} of the memory")


if __name__ == "__main__":
    main()
