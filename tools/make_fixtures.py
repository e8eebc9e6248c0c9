"""Make the test fixtures: what `transformers` and open_clip compute, for the tests to compare with.

usage: make_fixtures.py [checkpoints] [tokens] [tokenizers] [vocabularies] [templates] [pixels] [decode] [demo]
                        [siglip] [naflex] [metaclip2] [chinese_clip] [altclip] [clipseg] [open_clip] [clean]
                        [label_sets] [measure] [clip_benchmark] [few_shot]
       (default: all)

Each generator is a module of `fixtures` with `make(out)`, which fills `tests/fixtures/<name>`. Everything is seeded:
a second run writes the same files. The versions that produced them go to `tests/fixtures/VERSIONS.txt`.

needs: pip install torch torchvision transformers pillow safetensors numpy
       (siglip, naflex, metaclip2, altclip: sentencepiece and protobuf too; open_clip, measure, clip_benchmark and few_shot say
       what they need more)
"""

import argparse
import importlib
import os
import platform
import shutil
from importlib.metadata import version
from pathlib import Path

GENERATORS = ["checkpoints", "tokens", "tokenizers", "vocabularies", "templates", "pixels", "decode", "demo"]
GENERATORS += ["siglip", "naflex", "metaclip2", "chinese_clip", "altclip", "clipseg", "open_clip", "clean", "label_sets"]
GENERATORS += ["measure", "clip_benchmark", "few_shot"]
PACKAGES = ["torch", "torchvision", "transformers", "tokenizers", "safetensors", "pillow", "numpy"]
PACKAGES += ["open_clip_torch", "timm", "ftfy", "scikit-learn", "scipy", "clip-benchmark", "webdataset"]
FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="name", help=f"one of {', '.join(GENERATORS)} (default: all)")
    names = parser.parse_args().names or GENERATORS
    if unknown := set(names) - set(GENERATORS):
        parser.error(f"no such generator: {', '.join(sorted(unknown))}")

    os.environ["HF_HUB_OFFLINE"] = "1"  # the fixtures are made from seeds alone
    for name in names:
        out = FIXTURES / name
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        importlib.import_module(f"fixtures.{name}").make(out)
        print(f"{out}: {sum(f.stat().st_size for f in out.rglob('*') if f.is_file()) // 1024} KiB")

    versions = {"python": platform.python_version()} | {package: version(package) for package in PACKAGES}
    (FIXTURES / "VERSIONS.txt").write_text("".join(f"{name} {v}\n" for name, v in versions.items()))


if __name__ == "__main__":
    main()
