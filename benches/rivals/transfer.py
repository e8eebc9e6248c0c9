"""Fetching a large file from loopback, hashing and fsync included, beside `curl -o`.

    python benches/rivals/transfer.py target/release/zsic [gigabytes] [folder]

The folder (default: the system's temporary one) decides what is measured: on a disk it is the disk. Prints MB/s of
alternating runs and the peak memory of each command.
"""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

NAME, COMMIT = "org/clip", "c" * 40
SMALL = {name: b"{}" for name in ("preprocessor_config.json", "tokenizer.json", "tokenizer_config.json")}
SMALL["config.json"] = b'{"model_type": "clip"}'


def serve(weights, sha256):
    """A hub whose weights go out by sendfile, so that it is not what is measured."""
    size = weights.stat().st_size
    blob = lambda data: hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    siblings = [{"rfilename": n, "size": len(d), "blobId": blob(d)} for n, d in SMALL.items()]
    siblings.append({"rfilename": "model.safetensors", "size": size, "blobId": "0" * 40, "lfs": {"sha256": sha256, "size": size}})
    listing = json.dumps({"sha": COMMIT, "siblings": siblings}).encode()

    def answer(connection):
        with connection:
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(65536)
            path = request.split()[1].decode().split("?")[0]
            name = path.rsplit("/", 1)[-1]
            large = name == "model.safetensors"
            body = b"" if large else listing if path.startswith("/api/") else SMALL[name]
            length = size if large else len(body)
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % length + body)
            if large:
                with open(weights, "rb") as file:
                    connection.sendfile(file)

    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def loop():
        while True:
            threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def measure(command, env):
    """Wall seconds and peak MiB of one run. The system counts this script's own memory into a child's peak, so the
    child is watched while it runs."""
    start, peak = time.perf_counter(), 0
    process = subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        if Path(f"/proc/{process.pid}/comm").read_text().strip() == Path(command[0]).name:
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = max([peak, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))])
        time.sleep(0.01)
    if process.returncode:
        raise SystemExit(f"{command} failed")
    return time.perf_counter() - start, peak / 1024


def main():
    zsic = str(Path(sys.argv[1]).resolve())
    size = int(float(sys.argv[2] if len(sys.argv) > 2 else 1) * 1e9)
    with tempfile.TemporaryDirectory(dir=sys.argv[3] if len(sys.argv) > 3 else None) as folder:
        folder = Path(folder)
        weights, sha256 = folder / "weights", hashlib.sha256()
        with open(weights, "wb") as file:
            for _ in range(size // (1 << 20)):
                piece = os.urandom(1 << 20)
                file.write(piece)
                sha256.update(piece)
        size = weights.stat().st_size
        url = serve(weights, sha256.hexdigest())
        rates = {"curl": [], "zsic": []}
        for _ in range(5):
            target = folder / "copy"
            time_curl, memory_curl = measure(["curl", "-s", "-o", str(target), f"{url}/{NAME}/resolve/{COMMIT}/model.safetensors"], {})
            target.unlink()
            cache = folder / "cache"
            env = {"HF_ENDPOINT": url, "HF_HUB_CACHE": str(cache), "HF_TOKEN_PATH": str(folder / "none")}
            time_zsic, memory_zsic = measure([zsic, "models", "pull", NAME], env)
            shutil.rmtree(cache)
            for name, seconds, memory in (("curl", time_curl, memory_curl), ("zsic", time_zsic, memory_zsic)):
                rates[name].append(size / 1e6 / seconds)
                print(f"{name}  {rates[name][-1]:6.0f} MB/s  peak {memory:4.0f} MiB", flush=True)
        median = {name: sorted(values)[len(values) // 2] for name, values in rates.items()}
        print(f"median: curl {median['curl']:.0f} MB/s, zsic {median['zsic']:.0f} MB/s, {median['zsic'] / median['curl']:.0%} of curl's")


if __name__ == "__main__":
    main()
