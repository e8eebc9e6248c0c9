"""The Python of benches/hardware.sh: what it makes, times beside PyTorch, and compares with transformers. Lines that begin
with `= ` are results; hardware.sh repeats them in its table.

usage: gpu.py photos FOLDER COUNT
       gpu.py towers DIR... [--device cuda|cpu] [--zsic bf16,auto] [--torch bf16] [--batches 1,8] [--compile] [--seconds N]
       gpu.py numbers FOLDER DIR... [--device cuda|cpu]
       gpu.py kernels FILTER NAME=CPUS...
environment: TOWER_SPEED, ZSIC, KERNELS: the programs
needs: pip install torch torchvision transformers pillow
"""

import argparse
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

BATCHES = "1,8,32,112,128,224,448"
LABELS = ["fox", "bear", "seagull", "owl", "a red boat"]
START = time.monotonic()


def photo(path):
    """Clouds of three sizes and noise: about as many bytes as a photograph of this size has."""
    import numpy
    from PIL import Image

    number = int(path.stem)
    rng = numpy.random.default_rng(number)
    width, height = [(640, 480), (640, 427), (480, 640), (612, 612)][number % 4]
    total = numpy.full((height, width, 3), 128, "f4")
    for cell, strength in ((160, 70), (32, 30), (8, 12)):
        cloud = rng.normal(0, 1, (height // cell + 2, width // cell + 2, 3)).astype("f4")
        cloud = [Image.fromarray(cloud[..., i]).resize((width, height), Image.BICUBIC) for i in range(3)]
        total += strength * numpy.stack([numpy.asarray(channel) for channel in cloud], 2)
    total += rng.normal(0, 4, (height, width, 1))
    Image.fromarray(total.clip(0, 255).astype("u1")).save(path, quality=90)
    return path.stat().st_size


def photos(args):
    from multiprocessing import Pool

    folder, count = Path(args.paths[0]), int(args.paths[1])
    folder.mkdir(parents=True, exist_ok=True)
    with Pool(len(os.sched_getaffinity(0))) as pool:
        sizes = pool.map(photo, [folder / f"{n:05}.jpg" for n in range(count)], chunksize=16)
    print(f"= {count} photographs, {sum(sizes) / count / 1000:.0f} kB each")


def left(args):
    """Seconds until this run must end."""
    return args.seconds - (time.monotonic() - START)


def zsic_speed(checkpoint, precision, batches, args):
    """Images a second by batch, as tower_speed prints them."""
    env = os.environ | {"ZSIC_DEVICE": args.device, "ZSIC_THREADS": str(len(os.sched_getaffinity(0)))}
    command = [os.environ["TOWER_SPEED"], "image", checkpoint, precision, *map(str, batches)]
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=max(1, left(args)))
        output, wrong = done.stdout, done.stderr if done.returncode else ""
    except subprocess.TimeoutExpired as stopped:
        output, wrong = (stopped.stdout or b"").decode(), "no time left"
    print(" ".join(command[1:]), output, wrong, sep="\n", flush=True)
    if wrong:
        print(f"= {Path(checkpoint).name} {precision}: {wrong.strip().splitlines()[-1][:150]}")
    return {int(batch): 1000 / float(ms) for batch, ms in re.findall(r"batch +(\d+) +([\d.]+) ms/image", output)}


def median_of(run, finish):
    run()
    finish()
    times, start = [], time.perf_counter()
    while len(times) < 2 or len(times) < 20 and time.perf_counter() - start < 1:
        before = time.perf_counter()
        run()
        finish()
        times.append(time.perf_counter() - before)
    return statistics.median(times)


class FromBytes:
    """A tower fed bytes on the host; the device normalises them."""

    def __init__(self, tower, dtype):
        self.tower, self.dtype = tower, dtype

    def __call__(self, pixels):
        return self.tower(pixels.to("cuda").permute(0, 3, 1, 2).to(self.dtype).sub(116.0).div(68.0))


def torch_speed(run, side, dtype, batches, args):
    """The same for PyTorch; its input is already on the device, in its own type, except for [`FromBytes`]."""
    import torch

    finish = torch.cuda.synchronize if args.device == "cuda" else lambda: None
    rates = {}
    for batch in batches:
        if left(args) < 5:
            break
        try:
            if isinstance(run, FromBytes):
                pixels = torch.randint(0, 256, (batch, side, side, 3), dtype=torch.uint8)
            else:
                pixels = torch.randn(batch, 3, side, side, device=args.device, dtype=dtype)
            with torch.inference_mode():
                rates[batch] = batch / median_of(lambda: run(pixels), finish)
        except torch.OutOfMemoryError:
            break
    return rates


def compiled_speed(tower, side, dtype, batch, args):
    """One batch of torch.compile's tower: the compiler gets a minute at most."""
    import torch

    def give_up(*_):
        raise TimeoutError("torch.compile took too long")

    torch._dynamo.reset()
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(int(min(60, left(args) - 10)))
    try:
        return torch_speed(torch.compile(tower), side, dtype, [batch], args)
    except Exception as error:
        print(f"pytorch compiled: {type(error).__name__}: {str(error)[:100]}", flush=True)
        return {}
    finally:
        signal.alarm(0)


def load(checkpoint, dtype, device):
    import torch
    from transformers import AutoModel

    from encoders import Tower

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    model = AutoModel.from_pretrained(checkpoint, dtype=dtype, attn_implementation="sdpa").eval().to(device)
    return Tower(model).eval(), model


def pytorch_rows(checkpoint, kind, batches, args):
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    dtype = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}[kind]
    tower, model = load(checkpoint, dtype, args.device)
    side = model.config.vision_config.image_size
    rows = {f"pytorch {kind}": torch_speed(tower, side, dtype, batches, args)}
    best = max(rows[f"pytorch {kind}"].items(), key=lambda item: item[1], default=(0, 0))[0]
    if args.device == "cuda" and not args.compile:
        rows[f"pytorch {kind}, bytes"] = torch_speed(FromBytes(tower, dtype), side, dtype, batches, args)
    if args.compile and best and left(args) > 30:
        rows[f"pytorch {kind} compiled"] = compiled_speed(tower, side, dtype, best, args)
    return rows


def best(rows, start):
    """The largest rate of the rows whose names begin so, with its batch; of all measured."""
    found = [(rate, batch) for name, row in rows.items() if name.startswith(start) for batch, rate in row.items()]
    return max(found, default=(0, 0))


def towers(args):
    """zsic, PyTorch, zsic again, for each checkpoint; all in images a second."""
    batches = [int(n) for n in args.batches.split(",")]
    for checkpoint in args.paths:
        rows, name = {}, Path(checkpoint).name
        precisions = [word for word in args.zsic.split(",") if word]
        for precision in precisions:
            rows[f"zsic {precision}"] = zsic_speed(checkpoint, precision, batches, args)
        if left(args) > 10:
            rows |= pytorch_rows(checkpoint, args.torch, batches, args)
        for precision in precisions:
            if left(args) > 10:
                rows[f"zsic {precision} again"] = zsic_speed(checkpoint, precision, batches[-3:], args)
        print(f"= {name:22}" + "".join(f"{batch:>9}" for batch in batches))
        for row, rates in rows.items():
            print(f"=   {row:20}" + "".join(f"{rates[b]:9.4g}" if b in rates else f"{'-':>9}" for b in batches))
        summary(name, precisions, rows, args.torch)


def summary(name, precisions, rows, kind):
    rival, at = best(rows, f"pytorch {kind}")
    for precision in precisions:
        rate, batch = best(rows, f"zsic {precision}")
        if rate and rival:
            first, same = rows[f"zsic {precision}"], rows[f"pytorch {kind}"]
            each = ", ".join(f"{first[b] / same[b]:.2f}" for b in first if b in same)
            print(f"=   {name} zsic {precision} {rate:.4g} at {batch}, pytorch {kind} {rival:.4g} at {at}:", end=" ")
            print(f"{rate / rival:.2f} times; batch by batch {each}")


def reference(checkpoint, files, device):
    """transformers' logits [images, labels] in float64."""
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, AutoTokenizer

    _, model = load(checkpoint, torch.float64, device)
    texts = AutoTokenizer.from_pretrained(checkpoint)([f"This is a photo of {x}." for x in LABELS], padding=True)
    pictures = AutoImageProcessor.from_pretrained(checkpoint)
    pixels = pictures([Image.open(file).convert("RGB") for file in files], return_tensors="pt")["pixel_values"]
    inputs = {key: torch.tensor(value, device=device) for key, value in texts.items()}
    with torch.inference_mode():
        return model(pixel_values=pixels.double().to(device), **inputs).logits_per_image.cpu()


def zsic_logits(checkpoint, files, precision, device):
    import torch

    command = [os.environ["ZSIC"], "classify", *files, "-m", checkpoint, "--device", device, "--precision", precision]
    command += ["-l", ",".join(LABELS), "--logits", "--format", "jsonl", "--no-cache", "-q", "--offline"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1][:150])
    found = []
    for line in done.stdout.splitlines():
        logits = {one["label"]: one["logit"] for one in json.loads(line)["predictions"]}
        found.append([logits[label] for label in LABELS])
    return torch.tensor(found, dtype=torch.float64)


def numbers(args):
    files = [str(file) for file in sorted(Path(args.paths[0]).glob("*.jpg"))[:16]]
    for checkpoint in args.paths[1:]:
        try:
            right = reference(checkpoint, files, args.device)
        except Exception as error:
            print(f"= {Path(checkpoint).name}: no reference: {type(error).__name__}: {str(error)[:100]}", flush=True)
            continue
        spread = (right.max(1).values - right.min(1).values).mean()
        print(f"= {Path(checkpoint).name}: logits {right.min():.2f} to {right.max():.2f}, {spread:.2f} apart in an image", flush=True)
        for precision in ("f32", "auto", "bf16"):
            try:
                ours = zsic_logits(checkpoint, files, precision, args.device)
            except (RuntimeError, KeyError) as error:
                print(f"=   {precision}: {error}", flush=True)
                continue
            logits = (ours - right).abs().max()
            scores = (ours.softmax(1) - right.softmax(1)).abs().max()
            same = (ours.argmax(1) == right.argmax(1)).sum()
            print(f"=   {precision:5} logits off by {logits:.1e}, scores by {scores:.1e}; best label equal in {same} of {len(files)}", flush=True)


def kernels(args):
    """Criterion's rates in GFLOP per second; a product also as a share of the peak on the same CPUs."""
    for place in args.paths[1:]:
        name, cpus = place.split("=")
        command = ["taskset", "-c", cpus, os.environ["KERNELS"], "--bench", "--noplot", args.paths[0]]
        command += ["--warm-up-time", "0.3", "--measurement-time", "0.7"]
        output = subprocess.run(command, capture_output=True, text=True).stdout
        print(output, flush=True)
        units = {"": 1e-9, "K": 1e-6, "M": 1e-3, "G": 1, "T": 1e3}
        pattern = r"^(\S.*/.*?)\n? +time:.*\n +thrpt: +\[\S+ \S+ ([\d.]+) (\w?)elem/s"
        rates = {bench: float(rate) * units[unit] for bench, rate, unit in re.findall(pattern, output, re.M)}
        peaks = {bench.split("/")[1]: rate for bench, rate in rates.items() if bench.startswith("peak")}
        print(f"= {name} (vCPU {cpus})" + ("" if rates else ": nothing measured"))
        for bench, rate in rates.items():
            peak = peaks.get(bench.split("/")[1])
            share = f", {rate / peak:.2f} of the peak" if peak and not bench.startswith("peak") else ""
            print(f"=   {bench:42} {rate:7.0f} GFLOP/s{share}")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("what", choices=["photos", "towers", "numbers", "kernels"])
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--zsic", default="bf16")
    parser.add_argument("--torch", default="bf16")
    parser.add_argument("--batches", default=BATCHES)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--seconds", type=float, default=3600)
    args = parser.parse_args()
    globals()[args.what](args)


if __name__ == "__main__":
    main()
