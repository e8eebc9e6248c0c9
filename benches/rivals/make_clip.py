"""Makes full-size CLIP checkpoints with seeded random weights. The vocabulary is the small one of the built-in checkpoint,
so nothing is fetched.

usage: make_clip.py OUT [--outliers] [--layers N] b32 b16 l14 l14-336 ...     (each becomes OUT/clip-NAME[-outliers])
needs: pip install torch transformers

Speed and memory do not depend on what the weights are, and numbers are compared on the same weights. --outliers enlarges a
few channels, as training does: low precision is judged on those. --layers N keeps N blocks a tower, to try a script.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel

DEMO = Path(__file__).resolve().parents[2] / "models/demo"
# width, MLP, layers, heads
B, L, B_TEXT, L_TEXT = (768, 3072, 12, 12), (1024, 4096, 24, 16), (512, 2048, 12, 8), (768, 3072, 12, 12)
# vision, patch, image; text
SIZES = {
    "b32": (B, 32, 224, B_TEXT),
    "b16": (B, 16, 224, B_TEXT),
    "l14": (L, 14, 224, L_TEXT),
    "l14-336": (L, 14, 336, L_TEXT),
}


def sizes(numbers, layers):
    width, mlp, all_layers, heads = numbers
    return dict(
        hidden_size=width,
        intermediate_size=mlp,
        num_hidden_layers=layers or all_layers,
        num_attention_heads=heads,
        hidden_act="quick_gelu",
    )


def save(out, model, image):
    model.save_pretrained(out)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(DEMO / name, out / name)
    processor = json.loads((DEMO / "preprocessor_config.json").read_text())
    processor |= {"size": {"shortest_edge": image}, "crop_size": {"height": image, "width": image}}
    (out / "preprocessor_config.json").write_text(json.dumps(processor, indent=2))
    print(out, f"{sum(p.numel() for p in model.parameters()) / 1e6:.0f} M")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="+", choices=SIZES)
    parser.add_argument("--outliers", action="store_true")
    parser.add_argument("--layers", type=int)
    args = parser.parse_args()
    small = json.loads((DEMO / "config.json").read_text())["text_config"]
    words = {key: small[key] for key in ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")}
    for name in args.names:
        vision, patch, image, text = SIZES[name]
        torch.manual_seed(0)
        config = CLIPConfig(
            projection_dim=text[0],
            vision_config=sizes(vision, args.layers) | dict(patch_size=patch, image_size=image, projection_dim=text[0]),
            text_config=sizes(text, args.layers) | words | dict(projection_dim=text[0]),
        )
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            model = CLIPModel(config).eval()
        with torch.no_grad():
            model.logit_scale.fill_(4.6052)
            for weights in model.parameters():  # as initialised they are so small that all outputs are alike
                if weights.dim() >= 2:
                    weights.mul_(2)
            towers = (model.vision_model, model.text_model) if args.outliers else ()
            for positions in (tower.embeddings.position_embedding.weight for tower in towers):
                positions[:, :: positions.shape[1] // 3] += 60 * positions.std()
        save(args.out / f"clip-{name}{'-outliers' if args.outliers else ''}", model, image)


main()
