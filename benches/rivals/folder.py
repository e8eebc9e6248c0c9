"""A folder of photographs against a few labels: zsic beside the transformers pipeline, and beside OpenVINO fed by a torch
DataLoader with the labels encoded once.

    python benches/rivals/folder.py target/release/zsic CHECKPOINT_DIR FOLDER [--precisions f32,bf16] [--only zsic,openvino,...]

zsic's time is the whole command's, start-up and model loading included, and its cache is off. The rivals' time starts when
their models are loaded (OpenVINO: compiled) and warmed up with one batch. Each rival runs in a process of its own, at the
best of a few settings. Needs torch, torchvision, transformers, pillow and, for its part, openvino.
"""

import argparse
import glob
import json
import os
import platform
import re
import subprocess
import sys
import time

LABELS = ["fox", "bear", "seagull", "owl"]
TEMPLATE = "This is a photo of {}."
THREADS = len(os.sched_getaffinity(0))
DTYPES = {"f32": "float32", "bf16": "bfloat16"}


def files(folder):
    return sorted(glob.glob(os.path.join(folder, "*.jpg")))


def done(name, images, seconds):
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"name": name, "rate": images / seconds, "megabytes": peak}))


def pipeline(checkpoint, folder, precision, workers, batch):
    """The pipeline on a list of files, as its documentation has it."""
    import torch
    from transformers import pipeline as make

    torch.set_num_threads(THREADS)
    classify = make("zero-shot-image-classification", model=checkpoint, dtype=getattr(torch, DTYPES[precision]), device="cpu")
    names = files(folder)
    classify(names[:batch], candidate_labels=LABELS, batch_size=batch)
    start = time.perf_counter()
    for _ in classify(names, candidate_labels=LABELS, batch_size=batch, num_workers=workers):
        pass
    done(f"transformers pipeline {precision}, batch {batch}, {workers} workers", len(names), time.perf_counter() - start)


class Photos:
    """What a DataLoader's workers do: a file to the model's input, by the checkpoint's own processor."""

    def __init__(self, names, processor):
        self.names, self.processor = names, processor

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        from PIL import Image

        with Image.open(self.names[index]) as image:
            return self.processor(images=image.convert("RGB"), return_tensors="pt")["pixel_values"][0]


def openvino(checkpoint, folder, precision, workers, batch):
    """The image tower compiled by OpenVINO; labels encoded once; scores by numpy."""
    import numpy as np
    import openvino as ov
    import torch
    from transformers import AutoProcessor, CLIPModel

    torch.set_num_threads(1 if workers else THREADS)
    model, processor = CLIPModel.from_pretrained(checkpoint, dtype=torch.float32).eval(), AutoProcessor.from_pretrained(checkpoint)
    side = model.config.vision_config.image_size

    class Tower(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.tower, self.projection = model.vision_model, model.visual_projection

        def forward(self, pixels):
            return self.projection(self.tower(pixel_values=pixels).pooler_output)

    with torch.inference_mode():
        tokens = processor(text=[TEMPLATE.format(label) for label in LABELS], return_tensors="pt", padding=True)
        text = model.text_projection(model.text_model(**tokens).pooler_output)
        text = (text / text.norm(dim=-1, keepdim=True)).numpy() * model.logit_scale.exp().item()
        converted = ov.convert_model(Tower().eval(), example_input=torch.zeros(batch, 3, side, side))
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": 1}
    compiled = ov.Core().compile_model(converted, "CPU", settings)
    queue = ov.AsyncInferQueue(compiled, 2)
    scored = []

    def score(request, _):
        image = request.get_output_tensor().data
        logits = image @ text.T / np.linalg.norm(image, axis=-1, keepdims=True)
        exp = np.exp(logits - logits.max(-1, keepdims=True))
        scored.append(exp / exp.sum(-1, keepdims=True))

    queue.set_callback(score)
    names = files(folder)
    compiled(np.zeros((batch, 3, side, side), np.float32))
    start = time.perf_counter()
    loader = torch.utils.data.DataLoader(Photos(names, processor.image_processor), batch_size=batch, num_workers=workers)
    for pixels in loader:
        queue.start_async({0: pixels.numpy()})
    queue.wait_all()
    assert sum(len(s) for s in scored) == len(names)
    done(f"openvino {precision}, batch {batch}, {workers} workers", len(names), time.perf_counter() - start)


def zsic(binary, checkpoint, folder, precision, flags):
    command = [binary, "classify", folder, "-l", ",".join(LABELS), "-m", checkpoint, "--precision", precision, "--stats", *flags]
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    stats = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(f"failed: {' '.join(command)}\n{stats}")
    name = " ".join(["zsic", precision, *flags])
    return {"name": name, "rate": len(files(folder)) / seconds, "megabytes": usage.ru_maxrss / 1024, "stats": stats}


def apart(*arguments):
    """A rival in a process of its own."""
    result = subprocess.run([sys.executable, __file__, "--rival", *map(str, arguments)], capture_output=True, text=True)
    if result.returncode:
        return print(f"{arguments[0]} failed: {result.stderr.strip().splitlines()[-1]}", flush=True)
    return json.loads(result.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zsic")
    parser.add_argument("checkpoint")
    parser.add_argument("folder")
    parser.add_argument("--precisions", default="f32,bf16")
    parser.add_argument("--only", default="zsic,fast,pipeline,openvino")
    parser.add_argument("--no-cache", action="store_true", help="pass --no-cache to zsic")
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {THREADS} threads, {len(files(args.folder))} files in {args.folder}")
    off = ["--no-cache"] if args.no_cache else []
    for precision in args.precisions.split(","):
        results = []
        if "zsic" in args.only:
            results.append(zsic(args.zsic, args.checkpoint, args.folder, precision, off))
        if "fast" in args.only:
            results.append(zsic(args.zsic, args.checkpoint, args.folder, precision, [*off, "--decode", "fast"]))
        rivals = [(name, workers) for name in ("pipeline", "openvino") if name in args.only for workers in (0, THREADS)]
        results += [apart(name, args.checkpoint, args.folder, precision, workers, 32) for name, workers in rivals]
        for result in filter(None, results):
            print(f"{result['rate']:8.1f} images/s  {result['megabytes']:6.0f} MB  {result['name']}")
            if "stats" in result:
                print(re.sub("^", "    ", result["stats"].rstrip(), flags=re.M))
        sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rival"]:
        rival, checkpoint, folder, precision, workers, batch = sys.argv[2:]
        {"pipeline": pipeline, "openvino": openvino}[rival](checkpoint, folder, precision, int(workers), int(batch))
    else:
        main()
