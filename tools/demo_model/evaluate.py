"""Measures a finished checkpoint over the hundred things of things100.txt, through transformers, in the default template.

    python evaluate.py --work WORK --model models/demo [--held-out]

* Training designs: every drawing of them, augmented with seeds that training does not use.
* --held-out: OpenMoji, a design that training and tuning never see; one picture for each thing on plain white. Fetches
  OpenMoji from npm. Meant to be run on finished models only, since a figure that has steered choices is held out no more.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import augment
import captions
import model
import render
import sources

SEED = 90_001


def things() -> dict[str, str]:
    """Emoji (without presentation selectors) to label."""
    lines = (Path(__file__).parent / "things100.txt").read_text(encoding="utf-8").splitlines()
    return {sources.plain(emoji): label for emoji, label in (line.split("\t") for line in lines)}


class Classifier:
    """A checkpoint asked about the hundred labels."""

    def __init__(self, folder: Path, labels: list[str]) -> None:
        from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

        self.model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.processor = CLIPImageProcessor.from_pretrained(folder)
        prompts = [captions.DEFAULT.format(label) for label in labels]
        self.text = CLIPTokenizer.from_pretrained(folder)(prompts, padding=True, return_tensors="pt")

    @torch.no_grad()
    def ranked(self, images: list[Image.Image]) -> torch.Tensor:
        """For each image the numbers of all labels, best first."""
        rows = []
        for start in range(0, len(images), 100):
            pixels = self.processor(images=images[start : start + 100], return_tensors="pt")["pixel_values"]
            rows.append(self.model(pixel_values=pixels, **self.text).logits_per_image)
        return torch.cat(rows).argsort(1, descending=True)


def openmoji(work: Path) -> dict[str, Image.Image]:
    """OpenMoji's drawing of each thing, whole, on white."""
    drawings = {sources.plain(e): svgs[0] for e, svgs in sources.drawings(sources.HELD_OUT, work).items()}
    pictures = {}
    for emoji, label in things().items():
        drawing = render.rasterise(drawings[emoji], 256)
        picture = Image.new("RGB", drawing.size, "white")
        picture.paste(drawing, mask=drawing.getchannel("A"))
        pictures[label] = picture
    return pictures


def held_out(classifier: Classifier, work: Path) -> None:
    """Prints how OpenMoji's drawings are classified."""
    pictures = openmoji(work)
    labels = list(pictures)
    ranked = classifier.ranked(list(pictures.values()))
    places = (ranked == torch.arange(len(labels))[:, None]).int().argmax(1)
    print(f"OpenMoji, {len(labels)} pictures: top-1 {(places < 1).sum()}, top-5 {(places < 5).sum()}")
    for label, row, place in zip(labels, ranked.tolist(), places.tolist()):
        if place:
            print(f"  {label}: taken for {labels[row[0]]} (right answer at place {place + 1})")


def augmented(classifier: Classifier, work: Path) -> None:
    """Prints how the training designs are classified under fresh augmentation."""
    known = things()
    order = list(known)
    about = json.loads((work / "drawings.json").read_text())
    index = np.array([i for i, a in enumerate(about) if sources.plain(a["emoji"]) in known])
    right = torch.tensor([order.index(sources.plain(about[i]["emoji"])) for i in index])
    kinds = [about[i]["kind"] for i in index]
    raw = torch.from_numpy(np.load(work / "drawings.npy", mmap_mode="r")[index])
    mono = torch.tensor([kind == "mono" for kind in kinds])
    images, _ = augment.pictures(raw, mono, torch.ones(len(index), dtype=torch.bool), model.IMAGE_SIZE, SEED)
    pixels = (images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    ranked = classifier.ranked([Image.fromarray(p) for p in pixels])
    hits = ranked[:, 0] == right
    print(f"training designs, {len(index)} pictures: top-1 {hits.float().mean():.1%}")
    for kind in dict.fromkeys(kinds):
        these = torch.tensor([k == kind for k in kinds])
        print(f"  {kind}: {hits[these].float().mean():.1%} of {these.sum()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--held-out", action="store_true", help="also look at OpenMoji")
    args = parser.parse_args()
    classifier = Classifier(args.model, list(things().values()))
    augmented(classifier, args.work)
    if args.held_out:
        held_out(classifier, args.work)


if __name__ == "__main__":
    main()
