"""Time of a text tower in zsic and its rivals on one checkpoint, with the same threads, one after another: PyTorch eager, and
OpenVINO where it is installed, in f32.

usage: labels.py CHECKPOINT_DIR [LABELS ...]     (default 200; prints milliseconds a label, medians)
needs: cargo build --release --example tower_speed; pip install torch transformers, and perhaps openvino onnx
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]
THREADS = len(os.sched_getaffinity(0))
BATCH = 25


def report(name, count, run):
    run()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    print(f"{name:24} labels {count:5} {sorted(times)[1] / count * 1000:8.2f} ms/label", flush=True)


class Tower(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids):
        output = self.model.get_text_features(input_ids=ids)
        return output if isinstance(output, torch.Tensor) else output.pooler_output


def prompts(count):
    return [f"This is a photo of a {n} thing that has {n * 7 % 100} words." for n in range(count)]


def main():
    checkpoint, counts = sys.argv[1], [int(n) for n in sys.argv[2:]] or [200]
    torch.set_num_threads(THREADS)
    print(f"{checkpoint}, {THREADS} threads: torch {torch.__version__}, transformers {transformers.__version__}", flush=True)
    program = os.environ.get("TOWER_SPEED", str(ROOT / "target/release/examples/tower_speed"))
    command = [program, "text", checkpoint, "f32", *map(str, counts)]
    done = subprocess.run(command, env={**os.environ, "ZSIC_THREADS": str(THREADS)}, capture_output=True, text=True)
    for line in done.stdout.splitlines() or [done.stderr.strip()]:
        print(f"{'zsic f32':24} {line}", flush=True)
    model = transformers.AutoModel.from_pretrained(checkpoint, dtype=torch.float32).eval()
    start = time.perf_counter()
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    print(f"{'transformers':24} tokenizer in {(time.perf_counter() - start) * 1000:.0f} ms", flush=True)
    length = model.config.text_config.max_position_embeddings
    padding = {"padding": "max_length", "max_length": length} if "siglip" in model.config.model_type else {"padding": True}
    tower = Tower(model).eval()
    with torch.no_grad():
        for count in counts:
            ids = tokenizer(prompts(count), return_tensors="pt", **padding)["input_ids"]
            batches = ids.split(BATCH)
            report("pytorch eager float32", count, lambda: [tower(batch) for batch in batches])
            try:
                import openvino
            except ImportError:
                continue
            path = tempfile.mkdtemp() + "/text.onnx"
            options = dict(opset_version=17, input_names=["x"], output_names=["y"], dynamo=False)
            torch.onnx.export(tower, (batches[0],), path, **options)
            settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": THREADS}
            core = openvino.Core()
            request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()
            whole = [batch.numpy() for batch in batches if len(batch) == len(batches[0])]
            report("openvino f32", len(whole) * BATCH, lambda: [request.infer({0: batch}) for batch in whole])


main()
