"""Compare zsic with transformers in float64 on the same checkpoint and pictures.

    python tools/parity.py target/release/zsic CHECKPOINT_DIR IMAGE... [--labels a,b,c]

Prints, per picture, the largest difference of logits and of scores, and whether the ranking is the same; exits 1 if any
logit is off by more than 2e-4 or any score by more than 5e-5. Needs torch, torchvision, transformers and pillow
(tests/fixtures/VERSIONS.txt has the versions of the committed fixtures).
"""

import argparse
import json
import subprocess
import sys

import torch
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer
from transformers.image_utils import load_image

LOGITS, SCORES = 2e-4, 5e-5


def reference(checkpoint, images, labels):
    """The pipeline's steps, with the model in float64."""
    model = AutoModel.from_pretrained(checkpoint, dtype=torch.float32).double().eval()
    processor = AutoImageProcessor.from_pretrained(checkpoint)
    prompts = [f"This is a photo of {label}." for label in labels]
    is_siglip = "siglip" in model.config.model_type
    length = {"padding": True}
    if is_siglip:
        positions = model.config.text_config.max_position_embeddings
        length = {"padding": "max_length", "max_length": positions, "truncation": True}
    tokens = AutoTokenizer.from_pretrained(checkpoint)(prompts, return_tensors="pt", **length)
    if is_siglip:
        tokens = {"input_ids": tokens["input_ids"]}  # every position is attended to, padding too
    for image in images:
        pixels = processor(images=[load_image(image)], return_tensors="pt")["pixel_values"].double()
        with torch.no_grad():
            logits = model(pixel_values=pixels, **tokens).logits_per_image[0]
        scores = logits.sigmoid() if is_siglip else logits.softmax(-1)
        yield logits.tolist(), scores.tolist()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zsic")
    parser.add_argument("checkpoint")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--labels", default="fox,bear,seagull,owl,a very small black dog in the snow,café")
    args = parser.parse_args()
    labels = args.labels.split(",")
    command = [args.zsic, "classify", "--no-cache", *args.images, "-l", args.labels, "-m", args.checkpoint, "--logits"]
    lines = subprocess.run(command + ["--format", "jsonl"], stdout=subprocess.PIPE, check=True).stdout.splitlines()
    worst = [0.0, 0.0]
    for line, (logits, scores) in zip(lines, reference(args.checkpoint, args.images, labels), strict=True):
        record = json.loads(line)
        got = {p["label"]: p for p in record["predictions"]}
        off = [
            max(abs(got[label]["logit"] - logit) for label, logit in zip(labels, logits)),
            max(abs(got[label]["score"] - score) for label, score in zip(labels, scores)),
        ]
        ranking = [labels[i] for i in sorted(range(len(labels)), key=lambda i: -scores[i])]
        same = ranking == [p["label"] for p in record["predictions"]]
        print(f"{record['image']}: logits {off[0]:.1e}, scores {off[1]:.1e}, {'same' if same else 'OTHER'} ranking")
        worst = [max(pair) for pair in zip(worst, off)]
    print(f"worst: logits {worst[0]:.1e} (allowed {LOGITS:.0e}), scores {worst[1]:.1e} (allowed {SCORES:.0e})")
    sys.exit(worst[0] > LOGITS or worst[1] > SCORES)


if __name__ == "__main__":
    main()
