"""One picture or a few, whole command: zsic beside the transformers pipeline on the same files, in turns; beside
open_clip, for a checkpoint in its layout.

    python benches/rivals/one_picture.py target/release/zsic CHECKPOINT_DIR IMAGE... [--runs 5]

Prints each one's wall time, processor time and peak memory (mapped pages counted) and the ratios: medians, and the
least and the most in brackets. Processor time says more where the machine does other work. The first, cold run of each
is not counted. Needs torch, torchvision, transformers and pillow, and open_clip_torch for its layout.
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
model, labels, *images = sys.argv[1:]
classify = pipeline("zero-shot-image-classification", model=model, dtype=torch.float32, device="cpu")
print(json.dumps(classify(images, candidate_labels=labels.split(","), batch_size=len(images))))
"""
OPEN_CLIP = """
import sys, torch, open_clip
from PIL import Image
model, labels, *images = sys.argv[1:]
tokenize = open_clip.get_tokenizer(f"local-dir:{model}")
model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{model}")
model.eval()
with torch.no_grad():
    texts = model.encode_text(tokenize([f"This is a photo of {label}." for label in labels.split(",")]), normalize=True)
    pixels = torch.stack([transform(Image.open(image)) for image in images])
    logits = model.logit_scale.exp() * model.encode_image(pixels, normalize=True) @ texts.T
    print((logits.softmax(-1) if model.logit_bias is None else (logits + model.logit_bias).sigmoid()).tolist())
"""


def measure(command):
    """Wall seconds, processor seconds and peak megabytes of one run."""
    start = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                                                                         (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)])
    _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit(f"failed: {' '.join(command)}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zsic")
    parser.add_argument("checkpoint")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    library, script = "transformers", PIPELINE
    if os.path.exists(os.path.join(args.checkpoint, "open_clip_config.json")):
        library, script = "open_clip_torch", OPEN_CLIP
    commands = {
        "zsic": [args.zsic, "classify", "--no-cache", *args.images, "-l", LABELS, "-m", args.checkpoint],
        library: [sys.executable, "-c", script, args.checkpoint, LABELS, *args.images],
    }
    # Not imported here: a child's peak begins with what this process holds.
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", library))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; {versions}")
    runs = {name: [] for name in commands}
    for turn in range(args.runs + 1):
        for name, command in commands.items():
            result = measure(command)
            if turn:
                runs[name].append(result)
    medians = {name: [statistics.median(column) for column in zip(*results)] for name, results in runs.items()}
    for name, results in runs.items():
        columns = zip(("s", "s of processor time", "MB"), medians[name], zip(*results))
        print(f"{name:15}", "  ".join(f"{m:.2f} ({min(c):.2f} to {max(c):.2f}) {unit}" for unit, m, c in columns))
    wall, processor, memory = (ours / theirs for ours, theirs in zip(medians["zsic"], medians[library]))
    print(f"zsic takes {wall:.2f} of the time, {processor:.2f} of the processor time and {memory:.2f} of the memory")


if __name__ == "__main__":
    main()
