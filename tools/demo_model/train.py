"""Trains the demo checkpoint: contrastive, with a helping classifier that is thrown away.

    python train.py --work WORK [--steps N] [--hold-out DESIGN ...]

Needs WORK/drawings.npy (render.py). Writes WORK/run/state.pt every two minutes and goes on from it when started again.
A design that is held out is used only for the accuracy printed on the way; the published model holds out none of the
training designs. A step is a function of its number and the seed, so stopping and going on changes nothing.

Two processes of one thread each take a batch a step and average their gradients: on two cores that other programs use
too, this is several times faster than one process whose threads wait for each other in every operation.
"""

import argparse
import json
import math
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, distributed, multiprocessing, nn

import augment
import captions
import model
import sources

SEED, BATCH, WORKERS = 7, 128, 2
RATE, WARMUP, WEIGHT_DECAY = 2e-3, 60, 0.05
MUON_RATE = 2.5  # times RATE
COOLING = 0.35  # the last part of the steps, over which the rate falls to zero
WHOLE = 0.08  # the last part of the steps, which see whole pictures
KEPT = 16  # patches of a picture that the other steps see
CLASSIFIER = 1.0  # the helping loss's weight

GROUPS = {
    "animals-nature": 1.5, "food-drink": 1.3, "travel-places": 1.2, "activities": 1.2, "objects": 1.0,
    "smileys-emotion": 0.7, "symbols": 0.4, "people-body": 0.35, "flags": 0.08,
}  # fmt: skip
KINDS = {"colour": 1.0, "lined": 0.7, "mono": 0.6}
UNMIRRORED = {"flags", "symbols"}
DIRECTED = ("clock", "thirty", "left", "right", "arrow", "button", "calendar", "keycap", "letter", "abc", "hand")


@dataclass
class Data:
    """The drawings and what is known of them."""

    names: captions.Names
    pixels: np.ndarray
    emoji: np.ndarray
    mono: Tensor
    flip: Tensor
    weights: np.ndarray
    per_emoji: list[np.ndarray]
    per_emoji_weights: list[np.ndarray]
    held_out: np.ndarray
    truth: np.ndarray


def weight_of(emoji: sources.Emoji) -> float:
    """How often an emoji is drawn for a batch."""
    if "o’clock" in emoji.name or "thirty" in emoji.name:
        return 0.08
    return GROUPS[emoji.group]


def load(work: Path, hold_out: list[str]) -> Data:
    """Everything render.py and sources.py know, as arrays."""
    about = json.loads((work / "drawings.json").read_text())
    names = captions.Names(sources.names(work))
    emoji = np.array([names.index[sources.plain(a["emoji"])] for a in about])
    held = np.array([any(a["design"].startswith(h) for h in hold_out) for a in about])
    kinds = np.array([KINDS[a["kind"]] for a in about])
    per_emoji = [np.flatnonzero((emoji == i) & ~held) for i in range(len(names.emoji))]
    flip = [e.group not in UNMIRRORED and not any(d in e.name for d in DIRECTED) for e in names.emoji]
    truth = np.zeros((len(names.emoji), len(names.labels)), bool)
    for i, labels in enumerate(names.true_labels()):
        truth[i, labels] = True
    weights = np.array([weight_of(e) * bool(len(d)) for e, d in zip(names.emoji, per_emoji)])
    return Data(
        names=names,
        pixels=np.load(work / "drawings.npy", mmap_mode="r"),
        emoji=emoji,
        mono=torch.tensor([a["kind"] == "mono" for a in about]),
        flip=torch.tensor(flip)[torch.from_numpy(emoji)],
        weights=weights / weights.sum(),
        per_emoji=per_emoji,
        per_emoji_weights=[kinds[d] / kinds[d].sum() for d in per_emoji],
        held_out=held,
        truth=truth,
    )


def tokenizer(work: Path, names: captions.Names) -> Tokenizer:
    """The tokenizer, trained on first use and kept as WORK/tokenizer.json."""
    path = work / "tokenizer.json"
    if not path.exists():
        merges = captions.train_merges(captions.corpus(names), model.VOCABULARY - 514)
        path.write_text(json.dumps(captions.tokenizer_json(merges), ensure_ascii=False) + "\n")
    tokens = Tokenizer.from_file(str(path))
    tokens.enable_padding(pad_id=model.VOCABULARY - 1, pad_token=captions.END)
    tokens.enable_truncation(32)
    return tokens


def ids_of(tokens: Tokenizer, texts: list[str]) -> Tensor:
    return torch.tensor([e.ids for e in tokens.encode_batch(texts)])


def kept(drawn: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Which patches of each picture to look at: by chance, those with something drawn in them first."""
    something = F.avg_pool2d(drawn, model.PATCH_SIZE).flatten(1) > 0.03
    order = torch.rand(something.shape, generator=generator) + 0.45 * something
    return order.topk(count, dim=1).indices


def batch(data: Data, tokens: Tokenizer, step: int, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Patches, their places, token ids, the emoji, and which other captions are true of which picture."""
    rng, dice = np.random.default_rng([SEED, step]), random.Random(SEED * 1_000_003 + step)
    chosen = rng.choice(len(data.weights), BATCH, replace=False, p=data.weights)
    index = np.array([rng.choice(data.per_emoji[i], p=data.per_emoji_weights[i]) for i in chosen])
    names = [data.names.pick(i, dice) for i in chosen]
    ids = ids_of(tokens, [captions.caption(n, dice) for n in names])
    also = torch.from_numpy(data.truth[chosen][:, [data.names.labels[n] for n in names]])
    raw = torch.from_numpy(data.pixels[index])
    image, drawn = augment.pictures(raw, data.mono[index], data.flip[index], model.IMAGE_SIZE, SEED * 7919 + step)
    where = kept(drawn, count, torch.Generator().manual_seed(step))
    patches = model.patches_of(augment.normalised(image))
    patches = patches.gather(1, where[..., None].expand(-1, -1, patches.shape[2]))
    return patches, where, ids, torch.from_numpy(chosen), also


def losses(clip: model.Clip, head: nn.Linear, data: Data, parts: tuple) -> tuple[Tensor, Tensor]:
    """The contrastive loss, in which a caption true of another picture counts for neither side, and the helper's."""
    patches, where, ids, emoji, also = parts
    with torch.autocast("cpu", torch.bfloat16):
        seen = clip.vision_model(patches, where)
        image, text = clip.visual_projection(seen), clip.text_projection(clip.text_model(ids))
        guesses = head(seen).float()
    image, text = F.normalize(image.float(), dim=1), F.normalize(text.float(), dim=1)
    logits = clip.logit_scale.clamp(max=math.log(100)).exp() * image @ text.T
    logits = logits.masked_fill(also & ~torch.eye(len(ids), dtype=torch.bool), -1e4)
    own = torch.arange(len(ids))
    contrast = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    return contrast, F.cross_entropy(guesses, emoji, label_smoothing=0.05)


def rate_at(step: int, steps: int) -> float:
    """The learning rate: rising, level, falling."""
    left = (steps - step) / (COOLING * steps)
    return RATE * min(1.0, (step + 1) / WARMUP, left)


def optimisers(clip: model.Clip, head: nn.Linear) -> list[tuple[torch.optim.Optimizer, float]]:
    """AdamW, and Muon for the matrices inside the blocks; each with what the learning rate is multiplied by."""
    inside = [p for tower in (clip.vision_model, clip.text_model) for p in tower.encoder.parameters() if p.ndim == 2]
    known = {id(p) for p in inside}
    others = [p for p in [*clip.parameters(), *head.parameters()] if id(p) not in known]
    decayed, free = [p for p in others if p.ndim >= 2], [p for p in others if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": free, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98), fused=True)
    muon = torch.optim.Muon(inside, lr=RATE, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw")
    return [(adam, 1.0), (muon, MUON_RATE)]


@torch.no_grad()
def accuracy(clip: model.Clip, data: Data, tokens: Tokenizer, index: np.ndarray, seed: int | None) -> float:
    """Top-1 over the hundred things for some of the drawings: on plain white, or augmented afresh."""
    lines = (Path(__file__).parent / "things100.txt").read_text().splitlines()
    things = {data.names.index[sources.plain(e)]: label for e, label in (line.split("\t") for line in lines)}
    index = np.array([i for i in index if data.emoji[i] in things])
    raw = torch.from_numpy(data.pixels[index])
    if seed is None:
        shown = F.interpolate(F.pad(raw.permute(0, 3, 1, 2).float() / 255, (8, 8, 8, 8)), size=model.IMAGE_SIZE, mode="area")
        image = shown[:, :3] + 1 - shown[:, 3:]
    else:
        image, _ = augment.pictures(raw, data.mono[index], data.flip[index], model.IMAGE_SIZE, seed)
    where = torch.arange((model.IMAGE_SIZE // model.PATCH_SIZE) ** 2).expand(len(image), -1)
    seen = clip.visual_projection(clip.vision_model(model.patches_of(augment.normalised(image)), where))
    ids = ids_of(tokens, [captions.DEFAULT.format(label) for label in things.values()])
    text = F.normalize(clip.text_projection(clip.text_model(ids)), dim=1)
    right = torch.tensor([list(things).index(e) for e in data.emoji[index]])
    return ((seen @ text.T).argmax(1) == right).float().mean().item()


def report(clip: model.Clip, data: Data, tokens: Tokenizer) -> str:
    """Accuracy so far on what is held out (if anything) and on what is trained on."""
    plain = ~data.mono.numpy()
    trained = np.flatnonzero(~data.held_out & plain)[::4]
    parts = [f"trained {accuracy(clip, data, tokens, trained, 1):.3f}"]
    if data.held_out.any():
        shown = np.flatnonzero(data.held_out & plain)
        parts.append(f"held out {accuracy(clip, data, tokens, shown, None):.3f}")
    return " ".join(parts)


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """The mean over the workers of all gradients, as one message."""
    flat = torch.cat([p.grad.flatten() for p in parameters])
    distributed.all_reduce(flat)
    for p, part in zip(parameters, flat.div_(WORKERS).split([p.numel() for p in parameters])):
        p.grad.copy_(part.view_as(p))


class Run:
    """A training run of one worker: what it trains, where it is, and its file."""

    def __init__(self, args: argparse.Namespace, rank: int) -> None:
        torch.manual_seed(SEED)
        self.steps, self.rank, self.path = args.steps, rank, args.work / args.run / "state.pt"
        self.data = load(args.work, args.hold_out)
        self.tokens = tokenizer(args.work, self.data.names)
        self.clip = model.Clip()
        self.head = nn.Linear(model.VISION["hidden_size"], len(self.data.names.emoji))
        self.parameters = [*self.clip.parameters(), *self.head.parameters()]
        self.optimisers = optimisers(self.clip, self.head)
        self.step, self.spent, self.began = 0, 0.0, time.time()
        if self.path.exists():
            self.resume()
        else:
            sample, *_ = batch(self.data, self.tokens, 0, KEPT)
            model.start_patches(self.clip.vision_model.embeddings, sample.flatten(0, 1))

    def resume(self) -> None:
        state = torch.load(self.path, weights_only=False)
        self.clip.load_state_dict(state["clip"])
        self.head.load_state_dict(state["head"])
        for (optimise, _), saved in zip(self.optimisers, state["optimisers"]):
            optimise.load_state_dict(saved)
        self.step, self.spent = state["step"], state["spent"]

    def seconds(self) -> float:
        return self.spent + time.time() - self.began

    def save(self) -> None:
        state = {"clip": self.clip.state_dict(), "head": self.head.state_dict()}
        state["optimisers"] = [optimise.state_dict() for optimise, _ in self.optimisers]
        torch.save({**state, "step": self.step, "spent": self.seconds()}, self.path.with_suffix(".new"))
        os.replace(self.path.with_suffix(".new"), self.path)

    def advance(self) -> str:
        """One step; what there is to say about it."""
        for optimise, times in self.optimisers:
            for group in optimise.param_groups:
                group["lr"] = rate_at(self.step, self.steps) * times
        every = (model.IMAGE_SIZE // model.PATCH_SIZE) ** 2
        count = every if self.step >= (1 - WHOLE) * self.steps else KEPT
        parts = batch(self.data, self.tokens, self.step * WORKERS + self.rank, count)
        contrast, helping = losses(self.clip, self.head, self.data, parts)
        (contrast + CLASSIFIER * helping).backward()
        average_gradients(self.parameters)
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for optimise, _ in self.optimisers:
            optimise.step()
            optimise.zero_grad()
        self.clip.logit_scale.data.clamp_(max=math.log(100))
        self.step += 1
        return f"{contrast.item():.3f} {helping.item():.3f} scale {self.clip.logit_scale.exp().item():.1f}"


def work(rank: int, args: argparse.Namespace) -> None:
    """What each of the processes does."""
    torch.set_num_threads(1)
    meeting = f"file://{(args.work / args.run / 'meeting').absolute()}"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=WORKERS)
    run = Run(args, rank)
    saved = time.time()
    while run.step < run.steps:
        said = run.advance()
        if rank == 0 and run.step % 50 == 0:
            said += " " + report(run.clip, run.data, run.tokens) if run.step % 300 == 0 else ""
            print(f"{run.step} {run.seconds() / 60:.1f} min {said}", flush=True)
        if rank == 0 and (time.time() - saved > 120 or run.step == run.steps):
            run.save()
            saved = time.time()
    distributed.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3800)
    parser.add_argument("--hold-out", nargs="*", default=[], help="designs, by the beginning of their names")
    parser.add_argument("--run", default="run", help="folder inside WORK")
    args = parser.parse_args()
    folder = args.work / args.run
    folder.mkdir(exist_ok=True)
    (folder / "meeting").unlink(missing_ok=True)
    (folder / "pid").write_text(f"{os.getpid()}\n")
    tokenizer(args.work, captions.Names(sources.names(args.work)))
    others = [multiprocessing.Process(target=work, args=(rank, args), daemon=True) for rank in range(1, WORKERS)]
    for other in others:
        other.start()
    work(0, args)
    for other in others:
        other.join()


if __name__ == "__main__":
    main()
