"""Writes the trained model as a checkpoint in the Hub's layout, weights rounded to float16.

    python export.py --work WORK [--run run] --out models/demo
"""

import argparse
import json
import math
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

import augment
import captions
import model


def preprocessor() -> dict:
    """preprocessor_config.json."""
    side = model.IMAGE_SIZE
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": side},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [round(x, 8) for x in augment.MEAN.flatten().tolist()],
        "image_std": [round(x, 8) for x in augment.STD.flatten().tolist()],
    }


def tokenizer_config() -> dict:
    """tokenizer_config.json."""
    return {
        "tokenizer_class": "CLIPTokenizer",
        "bos_token": captions.START,
        "eos_token": captions.END,
        "pad_token": captions.END,
        "unk_token": captions.END,
        "model_max_length": 77,
    }


def weights(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """All weights in float16, checked; the scale is no more than 100 after rounding."""
    halves = {name: tensor.half().contiguous() for name, tensor in state.items()}
    scale = halves["logit_scale"]
    if scale.float() > math.log(100):
        halves["logit_scale"] = torch.nextafter(scale, torch.zeros_like(scale))
    broken = [name for name, tensor in halves.items() if not tensor.isfinite().all()]
    if broken:
        raise SystemExit(f"not finite in float16: {', '.join(broken)}")
    return halves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--run", default="run")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    state = torch.load(args.work / args.run / "state.pt", weights_only=False)
    save_file(weights(state["clip"]), args.out / "model.safetensors", metadata={"format": "pt"})
    (args.out / "model.safetensors").chmod(0o644)
    files = {"config": model.config(), "preprocessor_config": preprocessor(), "tokenizer_config": tokenizer_config()}
    for name, value in files.items():
        (args.out / f"{name}.json").write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    shutil.copy(args.work / "tokenizer.json", args.out / "tokenizer.json")
    print(f"step {state['step']}, {state['spent'] / 60:.0f} minutes of training")


if __name__ == "__main__":
    main()
