"""How much a few labelled pictures teach: accuracy at 1, 2, 4 and 8 examples a thing, for each head and a plain linear probe.

    python benches/few_shot.py target/release/zsic EXAMPLES TEST -m demo

EXAMPLES and TEST have one folder for each thing, named like it. Of EXAMPLES, so many pictures a thing are drawn with fixed seeds;
TEST is the same each time. Prints two tables: over all things, and over the things whose pictures in EXAMPLES the texts alone
know worst (--worst N of them), which are then the only labels.

The plain probe is scikit-learn's logistic regression on the same embeddings, with its default strength, which knows no text.
Figures are means over draws, with 95 % intervals by the Bayesian bootstrap over things. "gain" is the difference from the
texts alone, on the same pictures. With --pictures WORK the folders are made first, from the drawings of
`tools/demo_model` (which needs its requirements.txt): EXAMPLES from the designs that the built-in model was trained on, and TEST
from OpenMoji, which it has never seen. Needs numpy and scikit-learn.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

SHOTS = (1, 2, 4, 8)
HEADS = ("anchored", "prototype")
DRAWS = 1000


def make_pictures(work: Path, examples: Path, test: Path) -> None:
    """The drawings of the hundred things, on white."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools" / "demo_model"))
    import evaluate
    import render
    import sources
    from PIL import Image

    known = evaluate.things()
    for design, about in [*sources.TRAINING.items(), (None, sources.HELD_OUT)]:
        for emoji, svgs in sources.drawings(about, work).items():
            if thing := known.get(sources.plain(emoji)):
                drawing = render.rasterise(svgs[0], 256)
                picture = Image.new("RGB", drawing.size, "white")
                picture.paste(drawing, mask=drawing.getchannel("A"))
                to = (examples / thing / f"{design}.png") if design else (test / thing / "openmoji.png")
                to.parent.mkdir(parents=True, exist_ok=True)
                picture.save(to)


class Bench:
    """The pictures and the command."""

    def __init__(self, args, scratch: Path):
        self.args, self.scratch = args, scratch
        self.things = sorted(folder.name for folder in args.test.iterdir() if folder.is_dir())

    def run(self, *words) -> str:
        command = [str(self.args.zsic), *map(str, words), "-m", self.args.model]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            sys.exit(f"{' '.join(command)}\n{run.stderr}")
        return run.stdout

    def embeddings(self, folder: Path) -> dict[str, list[np.ndarray]]:
        """The embeddings of each thing's pictures, in the order of their names."""
        found = {}
        for line in self.run("embed", folder).splitlines():
            record = json.loads(line)
            found.setdefault(Path(record["image"]).parent.name, {})[record["image"]] = np.array(record["embedding"])
        return {thing: [rows[name] for name in sorted(rows)] for thing, rows in found.items()}

    def right(self, folder: Path, things: list[str], *flags) -> np.ndarray:
        """For each thing, the share of its pictures that get its label."""
        labels, records = self.scratch / "labels.json", self.scratch / "records.csv"
        labels.write_text(json.dumps(things))
        self.run("eval", folder, "--labels-file", labels, "--records", records, "-q", *flags)
        shares = {thing: [] for thing in things}
        for row in csv.DictReader(records.open()):
            shares[row["truth"]].append(row["right"] == "true")
        return np.array([np.mean(shares[thing]) for thing in things])

    def worst(self, count: int) -> list[str]:
        """The things whose examples have the lowest scores by text alone."""
        labels = self.scratch / "labels.json"
        labels.write_text(json.dumps(self.things))
        scores = {thing: [] for thing in self.things}
        for line in self.run("classify", self.args.examples, "--labels-file", labels, "--format", "jsonl").splitlines():
            record = json.loads(line)
            thing = Path(record["image"]).parent.name
            scores[thing] += [p["score"] for p in record["predictions"] if p["label"] == thing]
        return sorted(sorted(self.things, key=lambda thing: np.mean(scores[thing]))[:count])

    def some(self, root: Path, things: list[str], chosen=None) -> Path:
        """A folder with links to all pictures of some things, or to chosen ones."""
        for thing in things:
            source = (self.args.examples if chosen else self.args.test) / thing
            names = sorted(path.name for path in source.iterdir())
            (root / thing).mkdir(parents=True)
            for at in chosen[thing] if chosen else range(len(names)):
                (root / thing / names[at]).symlink_to((source / names[at]).resolve())
        return root

    def table(self, things: list[str]) -> None:
        """Prints accuracies by shots and head."""
        test = self.some(Path(tempfile.mkdtemp(dir=self.scratch)), things)
        rows, held = self.embeddings(self.args.examples), self.embeddings(test)
        text = self.right(test, things)
        weights = np.vstack([np.ones(len(things)), np.random.default_rng(0).standard_exponential((DRAWS, len(things)))])
        weights /= weights.sum(1, keepdims=True)

        def line(name, shots, right):
            gain = interval(weights @ (right - text), "+.3f") if shots else ""
            print(f"| {shots} | {name} | {interval(weights @ right)} | {gain} |")

        print("| examples a thing | head | accuracy | gain |\n|---|---|---|---|")
        line("text alone", 0, text)
        for shots in SHOTS:
            sums = dict.fromkeys([*HEADS, "plain probe"], 0)
            for seed in range(self.args.draws):
                draw = np.random.default_rng(seed)
                chosen = {thing: draw.permutation(len(rows[thing]))[:shots].tolist() for thing in self.things}
                folder = self.some(Path(tempfile.mkdtemp(dir=self.scratch)), things, chosen)
                for head in HEADS:
                    sums[head] = sums[head] + self.right(test, things, "--examples", folder, "--head", head)
                taught = [(rows[thing][at], number) for number, thing in enumerate(things) for at in chosen[thing]]
                probe = LogisticRegression(max_iter=1000).fit(*map(np.array, zip(*taught)))
                sums["plain probe"] = sums["plain probe"] + np.array(
                    [np.mean(probe.predict(np.array(held[thing])) == at) for at, thing in enumerate(things)]
                )
            for head, right in sums.items():
                line(head, shots, right / self.args.draws)


def interval(draws, form=".3f") -> str:
    """The first draw, which counts everything alike, and where 95 % of the others are."""
    low, high = np.quantile(draws[1:], [0.025, 0.975])
    return f"{draws[0]:{form}} ({low:{form}} to {high:{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zsic", type=Path)
    parser.add_argument("examples", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("-m", "--model", default="demo")
    parser.add_argument("--draws", type=int, default=10, help="draws of examples")
    parser.add_argument("--worst", type=int, default=20, help="things of the second table")
    parser.add_argument("--pictures", type=Path, metavar="WORK", help="make the pictures, and keep in WORK what is fetched")
    args = parser.parse_args()
    if args.pictures:
        make_pictures(args.pictures, args.examples, args.test)
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(args, Path(scratch))
        version = subprocess.run([args.zsic, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        print(f"{version}, {args.model}; {len(bench.things)} things, {args.draws} draws of examples\n")
        bench.table(bench.things)
        worst = bench.worst(args.worst)
        print(f"\nThe {len(worst)} things that the texts know worst: {', '.join(worst)}\n")
        bench.table(worst)


if __name__ == "__main__":
    main()
