"""Makes full-size SigLIP checkpoints with seeded random weights and vocabularies of the published sizes.

usage: make_siglip.py OUT b16-224 so400m-384 siglip2-b16-224 ...     (each becomes OUT/siglip-NAME)
needs: pip install torch transformers sentencepiece protobuf

Speed and memory do not depend on what the weights are, and numbers are compared on the same weights.
"""

import json
import random
import sys
from pathlib import Path

import torch
from sentencepiece import sentencepiece_model_pb2
from transformers import SiglipConfig, SiglipModel

# width, MLP, layers, heads, patch, image; vocabulary
SIZES = {
    "b16-224": ((768, 3072, 12, 12, 16, 224), 32000),
    "so400m-384": ((1152, 4304, 27, 16, 14, 384), 32000),
    "siglip2-b16-224": ((768, 3072, 12, 12, 16, 224), 256000),
}
SYLLABLES = [a + b for a in "bcdfghjklmnprstvwz" for b in ("a", "e", "i", "o", "u", "an", "er", "in", "ou")]


def words(count: int) -> list[str]:
    rng = random.Random(0)
    made = dict.fromkeys("".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(3 * count))
    assert len(made) >= count
    return list(made)[:count]


def spiece(path: Path, size: int) -> None:
    proto = sentencepiece_model_pb2.ModelProto()
    special = [("<pad>", 3), ("</s>", 3), ("<unk>", 2)]
    letters = ["▁", *map(chr, range(33, 127))]
    plain = [*letters, *("▁" + word for word in words(size - len(special) - len(letters)))]
    for rank, (piece, kind) in enumerate([*special, *((piece, 1) for piece in plain)]):
        proto.pieces.add(piece=piece, score=0.0 if kind != 1 else -5 - rank / 4000, type=kind)
    proto.trainer_spec.model_type = 1
    proto.trainer_spec.unk_id, proto.trainer_spec.eos_id, proto.trainer_spec.pad_id = 2, 1, 0
    proto.trainer_spec.bos_id = -1
    proto.normalizer_spec.name = "identity"
    path.write_bytes(proto.SerializeToString())


def gemma(path: Path, size: int) -> None:
    """As many merges as the published file has: 580,604, of which many make the same piece."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    letters = [*map(chr, range(33, 127)), "▁"]
    pieces = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    vocab = {piece: id for id, piece in enumerate(pieces)}
    merges = []
    for word in words(2 * size):
        for piece in (word, "▁" + word):
            for cut in range(1, len(piece)):
                left, right = piece[:cut], piece[cut:]
                if left in vocab and right in vocab and (piece in vocab or len(vocab) < size):
                    vocab.setdefault(piece, len(vocab))
                    merges.append([left, right])
            if piece not in vocab and len(vocab) < size:  # its beginnings, so that a merge makes it
                for end in range(2, len(piece) + 1):
                    if piece[:end] not in vocab and len(vocab) < size:
                        vocab[piece[:end]] = len(vocab)
                        merges.append([piece[: end - 1], piece[end - 1]])
        if len(vocab) >= size and len(merges) >= 580_604:
            break
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    model = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
    file = {
        "version": "1.0",
        "added_tokens": [{"id": vocab[token], "content": token, **flags} for token in special],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<eos>", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<eos>": {"id": "<eos>", "ids": [1], "tokens": ["<eos>"]}},
        },
        "model": model | {"vocab": vocab, "merges": merges[:580_604]},
    }
    path.write_text(json.dumps(file, ensure_ascii=False, indent=2), encoding="utf-8")


def main() -> None:
    for name in sys.argv[2:]:
        (width, mlp, layers, heads, patch, image), vocabulary = SIZES[name]
        out = Path(sys.argv[1]) / f"siglip-{name}"
        out.mkdir(parents=True, exist_ok=True)
        sizes = dict(hidden_size=width, intermediate_size=mlp, num_hidden_layers=layers, num_attention_heads=heads)
        text = sizes | dict(vocab_size=vocabulary, bos_token_id=None, eos_token_id=1, pad_token_id=1)
        config = SiglipConfig(vision_config=sizes | dict(image_size=image, patch_size=patch), text_config=text)
        torch.manual_seed(0)
        model = SiglipModel(config).eval()
        with torch.no_grad():
            model.logit_scale.fill_(4.7637)
            model.logit_bias.fill_(-12.93)
        model.save_pretrained(out)
        settings = {"tokenizer_class": "SiglipTokenizer", "eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
        if "siglip2" in name:
            gemma(out / "tokenizer.json", vocabulary)
            settings = {"tokenizer_class": "GemmaTokenizer"}
            settings |= {"padding_side": "right", "model_input_names": ["input_ids"]}
        else:
            spiece(out / "spiece.model", vocabulary)
        (out / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": 64}, indent=2))
        processor = {"image_processor_type": "SiglipImageProcessor", "size": {"height": image, "width": image}}
        processor |= {"resample": 2 if "siglip2" in name else 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        (out / "preprocessor_config.json").write_text(json.dumps(processor, indent=2))
        print(out, f"{sum(p.numel() for p in model.parameters()) / 1e6:.0f} M")


if __name__ == "__main__":
    main()
