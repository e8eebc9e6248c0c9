"""Compare zsic with transformers, or open_clip for a checkpoint in its layout, in float64 on the same pictures.

    python tools/parity.py target/release/zsic CHECKPOINT_DIR IMAGE... [--labels a,b,c]

Prints, per picture, the largest difference of logits and of scores, and whether the ranking is the same; exits 1 if any
logit is off by more than 2e-4 or any score by more than 5e-5. Needs torch, torchvision, transformers and pillow, and
open_clip_torch for its layout (tests/fixtures/VERSIONS.txt has the versions of the committed fixtures).
"""

import argparse
import json
import subprocess
import sys

from pathlib import Path

import torch
from PIL import Image, ImageOps
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
        inputs = processor(images=[load_image(image)], return_tensors="pt")
        inputs = {name: value.double() if value.is_floating_point() else value for name, value in inputs.items()}
        with torch.no_grad():
            logits = model(**inputs, **tokens).logits_per_image[0]
        scores = logits.sigmoid() if is_siglip else logits.softmax(-1)
        yield logits.tolist(), scores.tolist()


def open_clip_reference(checkpoint, images, labels):
    """The same by open_clip, on upright RGB pictures."""
    import open_clip

    model = open_clip.create_model(f"local-dir:{checkpoint}").double().eval()
    settings = open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg)
    transform = open_clip.transform.image_transform_v2(settings, is_train=False)
    tokens = open_clip.get_tokenizer(f"local-dir:{checkpoint}")([f"This is a photo of {label}." for label in labels])
    with torch.no_grad():
        texts = model.encode_text(tokens, normalize=True)
        for image in images:
            pixels = transform(ImageOps.exif_transpose(Image.open(image)).convert("RGB"))[None].double()
            logits = (model.logit_scale.exp() * model.encode_image(pixels, normalize=True) @ texts.T)[0]
            is_siglip = model.logit_bias is not None
            logits = logits + model.logit_bias if is_siglip else logits
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
    of = open_clip_reference if (Path(args.checkpoint) / "open_clip_config.json").exists() else reference
    for line, (logits, scores) in zip(lines, of(args.checkpoint, args.images, labels), strict=True):
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
