"""Makes full-size checkpoints of families beside CLIP and SigLIP, with seeded random weights, the settings of the
published repositories and vocabularies of their sizes.

usage: make_families.py OUT bioclip-2 biomedclip chinese-clip-b16 metaclip-2-b16 naflex-b16 naflex-so400m ...
needs: pip install torch transformers sentencepiece protobuf; for the first two open_clip_torch timm ftfy

open_clip asks a cache for the sizes of BiomedCLIP's text tower: read that checkpoint with HF_HUB_OFFLINE=1 and
HF_HUB_CACHE=OUT/hub.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

from make_siglip import gemma, words

FIXTURES = Path(__file__).resolve().parents[2] / "tests/fixtures"
SO400M = dict(hidden_size=1152, intermediate_size=4304, num_hidden_layers=27, num_attention_heads=16)


def write(path: Path, settings: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, ensure_ascii=False, indent=1), encoding="utf-8")


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def randomised(model, scale: float = 4.6052, bias: float = 0.0):
    """Weights that make every image and every label come out different."""
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if name in ("logit_scale", "logit_bias"):
                weights.fill_(scale if name == "logit_scale" else bias)
            elif weights.dim() >= 2:
                weights.normal_(0, 0.5 if "embed" in name else 1.2 / weights[0].numel() ** 0.5)
            elif name.endswith("bias"):
                weights.normal_(0, 0.05)
    return model.eval()


def copy(out: Path, fixture: str, *names: str, **processor) -> None:
    for name in names:
        shutil.copyfile(FIXTURES / fixture / name, out / name)
    if processor:
        path = FIXTURES / fixture / "preprocessor_config.json"
        write(out / path.name, read(path) | processor)


def word_pieces(out: Path, fixture: str, size: int) -> None:
    """The fixture's vocabulary, made up to `size`; in tokenizer.json too where the fixture has one."""
    pieces = (FIXTURES / fixture / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    known = set(pieces)
    pieces = [*pieces, *(word for word in words(size) if word not in known)][:size]
    (out / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    tokenizer = FIXTURES / fixture / "tokenizer.json"
    if tokenizer.exists():
        file = read(tokenizer)
        file["model"]["vocab"] = {piece: id for id, piece in enumerate(pieces)}
        write(out / tokenizer.name, file)


def unigrams(out: Path, fixture: str, size: int) -> None:
    """The fixture's vocabulary, with words between it and the mask, which is the last piece."""
    file = read(FIXTURES / fixture / "tokenizer.json")
    *vocabulary, mask = file["model"]["vocab"]
    known = {piece for piece, _ in vocabulary}
    more = [piece for word in words(size) if (piece := "▁" + word) not in known][: size - len(known) - 1]
    file["model"]["vocab"] = [*vocabulary, *([piece, -17.0] for piece in more), mask]
    file["added_tokens"][-1]["id"] = size - 1
    write(out / "tokenizer.json", file)


# ---- open_clip's layout ----------------------------------------------------------------------------------------------


def open_clip_config(out: Path, fixture: str, vision: dict, text: dict, width: int) -> dict:
    config = read(FIXTURES / fixture / "open_clip_config.json")
    model = config["model_cfg"]
    model["embed_dim"] = width
    model["vision_cfg"] |= vision
    model["text_cfg"] |= text
    write(out / "open_clip_config.json", config)
    return json.loads(json.dumps({key: value for key, value in model.items() if key != "custom_text"}))


def bioclip_2(out: Path) -> None:
    import open_clip

    text = dict(vocab_size=49408, width=768, heads=12, layers=12)
    vision = dict(image_size=224, layers=24, width=1024, head_width=64, patch_size=14)
    model = open_clip.CustomTextCLIP(**open_clip_config(out, "open_clip/bioclip2", vision, text, 768))
    save_file(randomised(model).state_dict(), out / "open_clip_model.safetensors")
    tokenizer = open_clip.SimpleTokenizer()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    write(out / "vocab.json", {names.get(token, token): id for token, id in tokenizer.encoder.items()})
    merges = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.get)
    (out / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, merges)]) + "\n", encoding="utf-8")
    copy(out, "open_clip/bioclip2", "tokenizer_config.json", "special_tokens_map.json")


def biomedclip(out: Path) -> None:
    import open_clip

    config = open_clip_config(out, "open_clip/biomedclip", dict(image_size=224), dict(context_length=256), 512)
    hub = out.parent / "hub" / f"models--{config['text_cfg']['hf_model_name'].replace('/', '--')}"
    write(hub / "snapshots/0/config.json", transformers.BertConfig().to_dict())
    (hub / "refs").mkdir(exist_ok=True)
    (hub / "refs/main").write_text("0")
    config["text_cfg"] |= dict(hf_model_name=str(hub / "snapshots/0"), hf_model_pretrained=False)
    model = randomised(open_clip.CustomTextCLIP(**config))
    torch.save(model.state_dict(), out / "open_clip_pytorch_model.bin")
    word_pieces(out, "open_clip/biomedclip", 30522)
    copy(out, "open_clip/biomedclip", "tokenizer_config.json", "special_tokens_map.json")


# ---- transformers' layout --------------------------------------------------------------------------------------------


def chinese_clip_b16(out: Path) -> None:
    config = transformers.ChineseCLIPConfig(text_config=dict(vocab_size=21128), vision_config=dict(patch_size=16))
    randomised(transformers.ChineseCLIPModel(config)).save_pretrained(out)
    word_pieces(out, "chinese_clip/tokens", 21128)
    copy(out, "chinese_clip/published", size=dict(height=224, width=224), crop_size=dict(height=224, width=224))


def metaclip_2_b16(out: Path) -> None:
    text = dict(vocab_size=901629, hidden_act="gelu", bos_token_id=None, eos_token_id=2, pad_token_id=None)
    config = transformers.MetaClip2Config(text_config=text, vision_config=dict(patch_size=16, hidden_act="gelu"))
    randomised(transformers.MetaClip2Model(config)).save_pretrained(out)
    unigrams(out, "metaclip2/tokens", 901629)
    copy(out, "metaclip2/tokens", "tokenizer_config.json", "special_tokens_map.json")
    settings = read(out / "tokenizer_config.json")
    decoder = settings["added_tokens_decoder"]
    decoder["901628"] = decoder.pop(max(decoder, key=int))
    write(out / "tokenizer_config.json", settings | dict(model_max_length=77))
    copy(out, "metaclip2/published", size=dict(height=224, width=224), crop_size=dict(height=224, width=224))


def naflex(out: Path, sizes: dict) -> None:
    config = transformers.Siglip2Config(text_config=sizes | dict(vocab_size=256000), vision_config=sizes)
    randomised(transformers.Siglip2Model(config), 4.72).save_pretrained(out)
    gemma(out / "tokenizer.json", 256000)
    settings = read(FIXTURES / "naflex/published/tokenizer_config.json")
    write(out / "tokenizer_config.json", {key: value for key, value in settings.items() if "added_tokens" not in key})
    copy(out, "naflex/published", patch_size=16, max_num_patches=256)


MAKERS = {
    "bioclip-2": bioclip_2,
    "biomedclip": biomedclip,
    "chinese-clip-b16": chinese_clip_b16,
    "metaclip-2-b16": metaclip_2_b16,
    "naflex-b16": lambda out: naflex(out, {}),
    "naflex-so400m": lambda out: naflex(out, SO400M),
}


def main() -> None:
    for name in sys.argv[2:]:
        out = Path(sys.argv[1]) / name
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        MAKERS[name](out)
        size = sum(path.stat().st_size for path in out.iterdir())
        print(out, f"{size / 1e6:.0f} MB", flush=True)


main()
