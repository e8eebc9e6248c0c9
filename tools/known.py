"""Write src/cli/known.csv, the table of `zsic models list --known`: python tools/known.py

A checkpoint is here only if zsic runs its model_type and its repository is known, by a list of its files or by its
commits, to hold config.json and weights in the layout of transformers. Sizes and GFLOP are computed from the shapes of
the towers. All else is written down below, with its source.
"""

from dataclasses import dataclass
from pathlib import Path

HEAD = """\
# Checkpoints that zsic runs, by family and GFLOP. Written by tools/known.py.
# size: bytes of the weights, in f32 as they are published. The tokenizer adds a few MB; in SigLIP 2, 34 MB.
# gflop: two operations for each multiply-add of the image tower, for one image.
# imagenet_top1: zero-shot accuracy on ImageNet-1k in percent, as others measured it with their own prompts.
# top1_source:
#   open_clip   docs/openclip_results.csv in github.com/mlfoundations/open_clip
#   tinyclip    TinyCLIP/README.md in github.com/microsoft/Cream
#   big_vision  big_vision/configs/proj/image_text/README_siglip2.md in github.com/google-research/big_vision
# licence, languages: as the repository or its model card states them.
name,family,size,gflop,imagenet_top1,top1_source,licence,languages
"""


@dataclass
class Tower:
    width: int
    layers: int
    mlp: int = 0

    def __post_init__(self):
        self.mlp = self.mlp or 4 * self.width

    def weights(self):
        """Weights of the blocks: four projections, two products of the MLP, two norms."""
        width, mlp = self.width, self.mlp
        return self.layers * (4 * width * (width + 1) + 2 * width * mlp + width + mlp + 4 * width)

    def multiply_adds(self, rows):
        """Multiply-adds of the blocks for so many rows."""
        products = 4 * self.width**2 + 2 * self.width * self.mlp
        return self.layers * (rows * products + 2 * rows**2 * self.width)


@dataclass
class Model:
    image: Tower
    text: Tower
    patch: int
    side: int
    dim: int
    vocabulary: int
    positions: int


class Clip(Model):
    """A class row, norms around the blocks, projections without a bias."""

    family = "clip"

    def weights(self):
        patches, width = (self.side // self.patch) ** 2, self.image.width
        image = width * (3 * self.patch**2 + patches + 2 + 4 + self.dim) + self.image.weights()
        text = self.text.width * (self.vocabulary + self.positions + 2 + self.dim) + self.text.weights()
        return image + text + 1

    def gflop(self):
        patches, width = (self.side // self.patch) ** 2, self.image.width
        ends = patches * 3 * self.patch**2 * width + width * self.dim
        return 2e-9 * (ends + self.image.multiply_adds(patches + 1))


class Siglip(Model):
    """Patches with a bias, a pool that attends to all rows and has an MLP, a text head with a bias."""

    family = "siglip"

    def weights(self):
        rows, width, mlp = (self.side // self.patch) ** 2, self.image.width, self.image.mlp
        pool = width + 4 * width * (width + 1) + 2 * width + 2 * width * mlp + width + mlp
        image = width * (3 * self.patch**2 + 1 + rows + 2) + self.image.weights() + pool
        text = self.text.width * (self.vocabulary + self.positions + 2 + self.dim) + self.dim + self.text.weights()
        return image + text + 2

    def gflop(self):
        rows, width = (self.side // self.patch) ** 2, self.image.width
        pool = 2 * (rows + 1) * width**2 + 2 * rows * width + 2 * width * self.image.mlp
        return 2e-9 * (rows * 3 * self.patch**2 * width + pool + self.image.multiply_adds(rows))


def clip_b(patch, side=224):
    return Clip(Tower(768, 12), Tower(512, 12), patch, side, 512, 49408, 77)


def clip_l(side=224):
    return Clip(Tower(1024, 24), Tower(768, 12), 14, side, 768, 49408, 77)


def clip_h(side=224):
    return Clip(Tower(1280, 32), Tower(1024, 24), 14, side, 1024, 49408, 77)


CLIP_G = Clip(Tower(1408, 40, 6144), Tower(1024, 24), 14, 224, 1024, 49408, 77)
CLIP_BIG_G = Clip(Tower(1664, 48, 8192), Tower(1280, 32), 14, 224, 1280, 49408, 77)


def siglip_b(side, vocabulary=32000, patch=16):
    return Siglip(Tower(768, 12), Tower(768, 12), patch, side, 768, vocabulary, 64)


def siglip_l(side, vocabulary=32000):
    return Siglip(Tower(1024, 24), Tower(1024, 24), 16, side, 1024, vocabulary, 64)


def siglip_so(side, vocabulary=32000, patch=14, positions=64):
    return Siglip(Tower(1152, 27, 4304), Tower(1152, 27, 4304), patch, side, 1152, vocabulary, positions)


def siglip_g(side):
    return Siglip(Tower(1536, 40), Tower(1152, 27, 4304), 16, side, 1536, GEMMA, 64)


# TinyCLIP/src/open_clip/model_configs in github.com/microsoft/Cream.
TINY_39M = Clip(Tower(512, 12), Tower(512, 6), 16, 224, 512, 49408, 77)
TINY_8M = Clip(Tower(256, 10), Tower(256, 3), 16, 224, 512, 49408, 77)
GEMMA = 256000  # the vocabulary of SigLIP 2

# Name, towers, ImageNet top-1.
OPENAI = [
    ("openai/clip-vit-base-patch32", clip_b(32), 63.32),
    ("openai/clip-vit-base-patch16", clip_b(16), 68.34),
    ("openai/clip-vit-large-patch14", clip_l(), 75.54),
    ("openai/clip-vit-large-patch14-336", clip_l(336), 76.56),
]
LAION = [
    ("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", clip_b(32), 66.56),
    ("laion/CLIP-ViT-L-14-laion2B-s32B-b82K", clip_l(), 75.25),
    ("laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K", clip_l(), 79.21),
    ("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", clip_h(), 77.96),
    ("laion/CLIP-ViT-g-14-laion2B-s12B-b42K", CLIP_G, 76.63),
    ("laion/CLIP-ViT-bigG-14-laion2B-39B-b160k", CLIP_BIG_G, 80.09),
]
METACLIP = [
    ("facebook/metaclip-b32-400m", clip_b(32), 65.58),
    ("facebook/metaclip-b32-fullcc2.5b", clip_b(32), 67.66),
    ("facebook/metaclip-b16-400m", clip_b(16), 70.80),
    ("facebook/metaclip-b16-fullcc2.5b", clip_b(16), 72.12),
    ("facebook/metaclip-l14-fullcc2.5b", clip_l(), 79.17),
    ("facebook/metaclip-h14-fullcc2.5b", clip_h(), 80.51),
]
TINYCLIP = [
    ("wkcn/TinyCLIP-ViT-39M-16-Text-19M-YFCC15M", TINY_39M, 63.5),
    ("wkcn/TinyCLIP-ViT-8M-16-Text-3M-YFCC15M", TINY_8M, 41.1),
]
SIGLIP = [
    ("google/siglip-base-patch16-224", siglip_b(224), 76.04),
    ("google/siglip-base-patch16-256", siglip_b(256), 76.53),
    ("google/siglip-base-patch16-384", siglip_b(384), 78.49),
    ("google/siglip-base-patch16-512", siglip_b(512), 79.14),
    ("google/siglip-large-patch16-256", siglip_l(256), 80.45),
    ("google/siglip-large-patch16-384", siglip_l(384), 82.07),
    ("google/siglip-so400m-patch14-224", siglip_so(224, positions=16), 82.03),
    ("google/siglip-so400m-patch14-384", siglip_so(384), 83.08),
]
SIGLIP_MULTILINGUAL = [("google/siglip-base-patch16-256-multilingual", siglip_b(256, 250000), 75.13)]
SIGLIP_2 = [
    ("google/siglip2-base-patch32-256", siglip_b(256, GEMMA, 32), 74.0),
    ("google/siglip2-base-patch16-224", siglip_b(224, GEMMA), 78.2),
    ("google/siglip2-base-patch16-256", siglip_b(256, GEMMA), 79.1),
    ("google/siglip2-base-patch16-384", siglip_b(384, GEMMA), 80.6),
    ("google/siglip2-base-patch16-512", siglip_b(512, GEMMA), 81.2),
    ("google/siglip2-large-patch16-256", siglip_l(256, GEMMA), 82.5),
    ("google/siglip2-large-patch16-384", siglip_l(384, GEMMA), 83.1),
    ("google/siglip2-large-patch16-512", siglip_l(512, GEMMA), 83.5),
    ("google/siglip2-so400m-patch14-224", siglip_so(224, GEMMA), 83.2),
    ("google/siglip2-so400m-patch14-384", siglip_so(384, GEMMA), 84.1),
    ("google/siglip2-so400m-patch16-256", siglip_so(256, GEMMA, 16), 83.4),
    ("google/siglip2-so400m-patch16-384", siglip_so(384, GEMMA, 16), 84.1),
    ("google/siglip2-so400m-patch16-512", siglip_so(512, GEMMA, 16), 84.3),
    ("google/siglip2-giant-opt-patch16-256", siglip_g(256), 84.5),
    ("google/siglip2-giant-opt-patch16-384", siglip_g(384), 85.0),
]
# Of a list: the source of its figures, licence, languages.
GROUPS = [
    (OPENAI, "open_clip", "none stated", "English"),
    (LAION, "open_clip", "MIT", "English"),
    (METACLIP, "open_clip", "CC-BY-NC-4.0", "English"),
    ([("apple/DFN5B-CLIP-ViT-H-14-378", clip_h(378), 84.37)], "open_clip", "apple-amlr", "English"),
    ([("patrickjohncyh/fashion-clip", clip_b(32), None)], None, "MIT", "English"),
    ([("vinid/plip", clip_b(32), None)], None, "none stated", "English"),
    ([("zer0int/CLIP-GmP-ViT-L-14", clip_l(), None)], None, "MIT", "English"),
    ([("geolocal/StreetCLIP", clip_l(336), None)], None, "CC-BY-NC-4.0", "English"),
    (TINYCLIP, "tinyclip", "MIT", "English"),
    (SIGLIP, "open_clip", "Apache-2.0", "English"),
    (SIGLIP_MULTILINGUAL, "open_clip", "Apache-2.0", "100+"),
    (SIGLIP_2, "big_vision", "Apache-2.0", "100+"),
]


def check():
    """Compare with image_gflops of docs/model_profile.csv in open_clip, and with numbers of weights on the Hub."""
    for model, gflop in [
        (clip_b(32), 8.82),
        (clip_b(16), 35.13),
        (clip_l(), 162.03),
        (clip_l(336), 381.92),
        (clip_h(), 334.59),
        (clip_h(378), 1006.96),
        (CLIP_G, 534.06),
        (CLIP_BIG_G, 967.5),
        (siglip_b(224), 35.42),
        (siglip_l(384), 383.85),
        (siglip_so(384), 670.35),
    ]:
        assert abs(model.gflop() / gflop - 1) < 0.003, (model, model.gflop(), gflop)
    for model, multiply_adds in [(TINY_39M, 9.5), (TINY_8M, 2.0)]:  # both towers, as TinyCLIP's README has them
        both = model.gflop() / 2 + model.text.multiply_adds(model.positions) / 1e9
        assert round(both, 1) == multiply_adds, (model, both)
    for model, weights in [
        (clip_b(32), 151_277_313),
        (siglip_l(384), 652_478_466),
        (siglip_b(256, GEMMA, 32), 376_856_066),
        (siglip_so(512, GEMMA, 16), 1_136_555_698),
        (siglip_g(256), 1_871_393_906),
    ]:
        assert model.weights() == weights, (model, model.weights(), weights)


def main():
    check()
    rows = []
    for models, source, licence, languages in GROUPS:
        for name, model, top1 in models:
            facts = [4 * model.weights(), f"{model.gflop():.1f}", top1 or "", source or "", licence, languages]
            rows.append((model.family, model.gflop(), name, facts))
    lines = [",".join(map(str, [name, family, *facts])) for family, _, name, facts in sorted(rows)]
    path = Path(__file__).parent.parent / "src" / "cli" / "known.csv"
    path.write_text(HEAD + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
