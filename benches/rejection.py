"""How well zsic notices pictures of none of the labels: half of a folder's things are the labels, the others are unknown.

    python benches/rejection.py target/release/zsic FOLDER -m demo

FOLDER has one folder for each thing, named like it. Halves are drawn with fixed seeds, and figures are means over them.
Prints a table with one row for each way to tell unknown pictures:

* the largest score, without any flag;
* a short background with general names (--background FILE reads another, one a line);
* --unknown, with its built-in list;
* --unknown's list without the names of the unknown things, so that these are as unknown to the list as to the labels.

AUROC and FPR95 are those of `zsic eval`: the chance that an unknown picture looks more unknown than one of a label, and the
share of unknown pictures that are accepted if 95 % of the others are. "right" is the share of the labels' pictures that are
accepted with the right label, and "rejected" the share of unknown pictures that get none. Intervals are 95 %, by the Bayesian
bootstrap over things, since pictures of one thing are alike; with under 20 labels, that of FPR95 is rough. Needs numpy.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

GENERAL = (
    "animal,plant,flower,food,drink,fruit,vegetable,vehicle,building,landscape,weather,tool,household object,clothes,"
    "sports equipment,musical instrument,electronic device,person,face,symbol"
).split(",")
BUILT_IN = Path(__file__).resolve().parent.parent / "data" / "background.txt"
DRAWS = 1000


class Half:
    """One half of the things as labels, and how pictures are answered."""

    def __init__(self, args, things, seed, scratch):
        self.args, self.scratch, self.things = args, scratch, things
        count = args.labels or len(things) // 2
        self.known = sorted(np.random.default_rng(seed).permutation(len(things))[:count].tolist())
        self.labels = [things[thing] for thing in self.known]
        (scratch / "labels.json").write_text(json.dumps(self.labels))

    def classify(self, *flags):
        """The records of all pictures, and what `-v` says."""
        command = [self.args.zsic, "classify", str(self.args.folder), "--labels-file", str(self.scratch / "labels.json")]
        command += ["-m", self.args.model, "-k", "1", "-v", "--format", "jsonl", *flags]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            sys.exit(f"{' '.join(command)}\n{run.stderr}")
        return [json.loads(line) for line in run.stdout.splitlines()], run.stderr

    def judged(self, records, unknown, is_rejected):
        """For each picture: its thing, whether that is a label, how unknown it looks, if it is right, if it is rejected."""
        thing = [self.things.index(Path(r["image"]).relative_to(self.args.folder).parts[0]) for r in records]
        right = [r["predictions"][0]["label"] == self.things[t] for r, t in zip(records, thing)]
        columns = [thing, np.isin(thing, self.known), map(unknown, records), right, map(is_rejected, records)]
        return [np.array(list(column)) for column in columns]

    def largest(self):
        """Without a flag nothing is rejected."""
        return self.judged(self.classify()[0], lambda r: -r["predictions"][0]["score"], lambda _: False)

    def with_flags(self, *flags):
        """What `unknown` and `answers` say."""
        return self.judged(self.classify(*flags)[0], lambda r: r["unknown"], lambda r: not r["answers"])

    def names(self, entries, weight=1.0):
        """A background with these names, each of which counts `weight` times."""
        (self.scratch / "background.txt").write_text("\n".join(entries) + "\n")
        records, _ = self.classify("--background-file", str(self.scratch / "background.txt"))
        return self.judged(
            records, lambda r: r["unknown"], lambda r: r["unknown"] * weight > r["predictions"][0]["score"]
        )

    def without_names(self):
        """What --unknown keeps of its list, less entries in which the name of an unknown thing stands."""
        said = self.classify("--unknown")[1]
        close = re.search(r"close to a label and left out: (.*)", said)
        left_out = close[1].split(", ") if close else []
        unknown = "|".join(re.escape(name) for at, name in enumerate(self.things) if at not in self.known)
        entries = [line for line in BUILT_IN.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        kept = [e for e in entries if e not in left_out and not re.search(rf"\b({unknown})\b", e)]
        return self.names(kept, min(1.0, len(self.known) / len(kept)))


def figures(judged, weights):
    """AUROC, FPR95, right and rejected [4, draws], where things count `weights` [draws, things] times."""
    thing, is_known, unknown, right, is_rejected = judged
    order = np.argsort(unknown, kind="stable")
    each = weights[:, thing]
    starts = np.flatnonzero(np.diff(unknown[order], prepend=-np.inf))
    known, others = [np.add.reduceat((each * mask)[:, order], starts, axis=1) for mask in (is_known, ~is_known)]
    all_known, all_others = known.sum(1), others.sum(1)
    found, passed = known.cumsum(1), others.cumsum(1)
    auroc = (known * (all_others[:, None] - passed + others / 2)).sum(1) / (all_known * all_others)
    enough = (20 * found >= 19 * all_known[:, None]).argmax(1)
    fpr95 = passed[np.arange(len(weights)), enough] / all_others
    accepted = (each * (is_known & right & ~is_rejected)).sum(1) / all_known
    return np.array([auroc, fpr95, accepted, (each * (~is_known & is_rejected)).sum(1) / all_others])


def interval(draws):
    """The first draw, which counts everything once, and where 95 % of the others are."""
    low, high = np.quantile(draws[1:], [0.025, 0.975])
    return f"{draws[0]:.3f} ({low:.3f} to {high:.3f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zsic")
    parser.add_argument("folder", type=Path)
    parser.add_argument("-m", "--model", default="demo")
    parser.add_argument("--halves", type=int, default=10, help="the number of random halves")
    parser.add_argument("--labels", type=int, help="the number of labels [default: half of the things]")
    parser.add_argument("--background", type=Path, help="names for the short background, one a line")
    args = parser.parse_args()
    things = sorted(folder.name for folder in args.folder.iterdir() if folder.is_dir())
    general = args.background.read_text(encoding="utf-8").splitlines() if args.background else GENERAL
    weights = np.vstack([np.ones(len(things)), np.random.default_rng(0).standard_exponential((DRAWS, len(things)))])
    ways = {
        "largest score": lambda half: half.largest(),
        f"{len(general)} general names": lambda half: half.names([n for n in general if n not in half.labels]),
        "`--unknown`": lambda half: half.with_flags("--unknown"),
        "its list without their names": lambda half: half.without_names(),
    }
    sums = dict.fromkeys(ways, 0)
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(args.halves):
            half = Half(args, things, seed, Path(scratch))
            for way, judge in ways.items():
                judged = judge(half)
                sums[way] = sums[way] + figures(judged, weights) / args.halves
    version = subprocess.run([args.zsic, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{version}, {args.model}; {len(things)} things, {len(judged[0])} pictures, {len(half.known)} labels, "
          f"{args.halves} draws of labels\n")
    print("| unknown by | AUROC | FPR95 | AUROC above the largest score's | right | rejected |\n|---|---|---|---|---|---|")
    for way, (auroc, fpr95, right, rejected) in sums.items():
        gain = interval(auroc - sums["largest score"][0]) if way != "largest score" else ""
        print(f"| {way} | {interval(auroc)} | {interval(fpr95)} | {gain} | {right[0]:.3f} | {rejected[0]:.3f} |")


if __name__ == "__main__":
    main()
