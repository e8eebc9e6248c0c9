"""Image-tower time of zsic and its rivals on one checkpoint, with the same threads, one after another: PyTorch eager and
compiled, and where they are installed OpenVINO and ONNX Runtime; each in f32 and, where it has it, bf16.

usage: encoders.py CHECKPOINT_DIR [BATCH ...]     (default batches 1 8 32; prints milliseconds an image, medians)
needs: cargo build --release --example tower_speed; pip install torch transformers, and perhaps openvino onnxruntime onnx
"""
import importlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]
THREADS = len(os.sched_getaffinity(0))
# Without instructions for bf16, rivals emulate it many times slower than f32.
HAS_BF16 = any(name in pathlib.Path("/proc/cpuinfo").read_text() for name in ("avx512_bf16", "amx_bf16"))


def optional(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def report(name, batch, run):
    run()
    start = time.perf_counter()
    run()
    repeats = max(3, min(20, int(3 / (time.perf_counter() - start))))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    print(f"{name:24} batch {batch:3} {sorted(times)[len(times) // 2] / batch * 1000:8.2f} ms/image", flush=True)


def zsic(checkpoint, batches):
    program = os.environ.get("TOWER_SPEED", str(ROOT / "target/release/examples/tower_speed"))
    for precision in ("f32", "bf16") if HAS_BF16 else ("f32",):
        command = [program, "image", checkpoint, precision, *map(str, batches)]
        done = subprocess.run(command, env={**os.environ, "ZSIC_THREADS": str(THREADS)}, capture_output=True, text=True)
        lines = done.stdout.splitlines() or [done.stderr.strip()]
        for line in lines:
            print(f"{'zsic ' + precision:24} {line}", flush=True)


class Tower(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixels):
        pooled = self.model.vision_model(pixel_values=pixels).pooler_output
        return self.model.visual_projection(pooled) if hasattr(self.model, "visual_projection") else pooled


def pytorch(tower, side, batches):
    for dtype in (torch.float32, torch.bfloat16) if HAS_BF16 else (torch.float32,):
        tower.to(dtype)
        for kind, run in (("eager", tower), ("compiled", None)):
            if kind == "compiled":
                torch._inductor.config.freezing = True
                torch._dynamo.reset()
                run = torch.compile(tower)
            for batch in batches:
                pixels = torch.randn(batch, 3, side, side).to(dtype)
                name = f"pytorch {kind} {str(dtype)[6:]}"
                try:
                    report(name, batch, lambda: run(pixels))
                except Exception as error:
                    print(f"{name:24} does not run: {type(error).__name__}", flush=True)
                    break
    tower.to(torch.float32)


def exported(tower, side, batches):
    openvino, onnxruntime = optional("openvino"), optional("onnxruntime")
    if not openvino and not onnxruntime:
        return
    path = tempfile.mkdtemp() + "/tower.onnx"
    axes = {"x": {0: "b"}, "y": {0: "b"}}
    options = dict(opset_version=17, input_names=["x"], output_names=["y"], dynamic_axes=axes, dynamo=False)
    torch.onnx.export(tower, (torch.randn(2, 3, side, side),), path, **options)
    inputs = {batch: numpy.random.randn(batch, 3, side, side).astype("f4") for batch in batches}
    if onnxruntime:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(path, settings)
        for batch, x in inputs.items():
            report("onnxruntime f32", batch, lambda: session.run(None, {"x": x}))
        del session
    if openvino:
        core = openvino.Core()
        for precision in ("f32", "bf16") if HAS_BF16 else ("f32",):
            for hint in ("LATENCY", "THROUGHPUT"):
                settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": THREADS}
                settings |= {"PERFORMANCE_HINT": hint, "NUM_STREAMS": 1}
                request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()
                for batch, x in inputs.items():
                    report(f"openvino {precision} {hint.lower()}", batch, lambda: request.infer({0: x}))


def main():
    checkpoint, batches = sys.argv[1], [int(n) for n in sys.argv[2:]] or [1, 8, 32]
    torch.set_num_threads(THREADS)
    found = {m: optional(m) for m in ("openvino", "onnxruntime")}
    versions = [f"torch {torch.__version__}", f"transformers {transformers.__version__}"]
    versions += [f"{name} {module.__version__ if module else 'not installed'}" for name, module in found.items()]
    print(f"{checkpoint}, {THREADS} threads: {', '.join(versions)}", flush=True)
    zsic(checkpoint, batches)
    model = transformers.AutoModel.from_pretrained(checkpoint, dtype=torch.float32, attn_implementation="sdpa").eval()
    with torch.no_grad():
        pytorch(Tower(model).eval(), model.config.vision_config.image_size, batches)
        exported(Tower(model).eval(), model.config.vision_config.image_size, batches)
    zsic(checkpoint, batches)  # again: shows how much the machine's speed has drifted


if __name__ == "__main__":
    main()
