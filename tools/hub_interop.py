"""The cache, both ways: what zsic fetches, Python's huggingface_hub finds without network, and the reverse; also without
symbolic links, through a linked and a read-only cache, and over TLS with a CA of one's own.

    python tools/hub_interop.py target/release/zsic

Needs huggingface_hub, and openssl for the TLS part. It serves a fixture from loopback and prints one line a check.
"""

import hashlib
import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import filelock

ROOT = Path(__file__).resolve().parent.parent
NAME = "org/clip"
COMMIT = "c" * 40
LARGE = 5000


def etag(data):
    if len(data) >= LARGE:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as huggingface_hub and zsic ask for."""

    protocol_version = "HTTP/1.1"
    files = {}
    requests = 0

    def log_message(self, *_):
        pass

    def send(self, body, **headers):
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        type(self).requests += 1
        path = self.path.split("?")[0]
        entries = []
        for name, data in self.files.items():
            lfs = {"oid": etag(data), "sha256": etag(data), "size": len(data), "pointerSize": 130}
            large = {"lfs": lfs} if len(data) >= LARGE else {}
            entries.append((name, {"size": len(data), **large}, "0" * 40 if large else etag(data)))
        if path.startswith(f"/api/models/{NAME}/tree/"):
            tree = [{"type": "file", "path": n, "oid": oid, **rest} for n, rest, oid in entries]
            return self.send(json.dumps(tree).encode(), Content_Type="application/json")
        if path == f"/api/models/{NAME}" or path.startswith(f"/api/models/{NAME}/revision/"):
            siblings = [{"rfilename": n, "blobId": oid, **rest} for n, rest, oid in entries]
            info = {"id": NAME, "modelId": NAME, "sha": COMMIT, "private": False, "siblings": siblings, "tags": [], "downloads": 0}
            return self.send(json.dumps(info).encode(), Content_Type="application/json")
        data = self.files.get(path.rsplit("/", 1)[-1])
        if "/resolve/" in path and data is not None:
            return self.send(data, ETag=f'"{etag(data)}"', X_Repo_Commit=COMMIT)
        self.send_response(404)
        self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET


def serve(context=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"


def run(command, env, cwd=None):
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "ZSIC_"))}
    done = subprocess.run(command, env={**plain, **env}, capture_output=True, text=True, cwd=cwd)
    if done.returncode:
        raise SystemExit(f"FAILED {command}\n{done.stdout}{done.stderr}")
    return done.stdout


def python(code, env):
    return run([sys.executable, "-c", code], {"HF_HUB_DISABLE_TELEMETRY": "1", **env})


FIND = f"""
from huggingface_hub import hf_hub_download, snapshot_download, scan_cache_dir, try_to_load_from_cache, _CACHED_NO_EXIST
import os
folder = snapshot_download({NAME!r}, local_files_only=True)
weights = hf_hub_download({NAME!r}, "model.safetensors", local_files_only=True)
assert os.path.dirname(weights) == folder and folder.endswith({COMMIT!r}), (folder, weights)
assert open(weights, "rb").read(8)
absent = try_to_load_from_cache({NAME!r}, "added_tokens.json")
assert absent is _CACHED_NO_EXIST, absent
info = scan_cache_dir()
assert not info.warnings, info.warnings
repo, = info.repos
assert repo.repo_id == {NAME!r} and list(repo.refs) == ["main"], repo
"""

LOAD = f"""
from transformers import CLIPModel, CLIPProcessor
CLIPModel.from_pretrained({NAME!r}, local_files_only=True)
CLIPProcessor.from_pretrained({NAME!r}, local_files_only=True)
"""


def check(what):
    print("ok  ", what, flush=True)


def main():
    zsic = str(Path(sys.argv[1]).resolve())
    fixture = ROOT / "tests/fixtures/checkpoints/quick-gelu"
    Hub.files = {p.name: p.read_bytes() for p in fixture.iterdir() if not p.name.startswith("expected")}
    url = serve()
    image = str(ROOT / "tests/fixtures/checkpoints/images/wide.png")
    classify = [zsic, "classify", "--no-cache", image, "-l", "cat,dog", "-m"]
    expected = run([*classify, str(fixture)], {})
    offline = {"HF_ENDPOINT": url, "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs, linked = (Path(folder) / name for name in ("ours", "theirs", "linked"))

        run([zsic, "models", "pull", NAME], {"HF_ENDPOINT": url, "HF_HOME": str(ours)})
        python(FIND, {**offline, "HF_HOME": str(ours)})
        check("huggingface_hub finds what zsic fetched")
        try:
            import transformers  # noqa: F401
        except ImportError:
            print("skip transformers is not here")
        else:
            python(LOAD, {**offline, "HF_HOME": str(ours)})
            check("transformers loads what zsic fetched, without network")

        before = Hub.requests
        python(f"from huggingface_hub import snapshot_download as s; s({NAME!r})", {"HF_ENDPOINT": url, "HF_HOME": str(theirs)})
        assert Hub.requests > before
        before = Hub.requests
        for extra in ([], ["--offline"]):
            assert run([*classify, NAME, *extra], {"HF_ENDPOINT": url, "HF_HOME": str(theirs)}) == expected
        assert Hub.requests == before
        check("zsic finds what huggingface_hub fetched, and asks for nothing")
        verified = run([zsic, "models", "verify", NAME], {"HF_HOME": str(theirs)})
        assert verified.count("ok ") == len(verified.splitlines()) == len(Hub.files), verified
        check("zsic verifies what huggingface_hub fetched")

        plain(zsic, classify, expected, url, Path(folder))

        both = Path(folder) / "both"
        locks = both / "hub/.locks/models--org--clip"
        locks.mkdir(parents=True)
        with filelock.FileLock(locks / f"{etag(Hub.files['model.safetensors'])}.lock"):
            env = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(both)}
            waiting = subprocess.Popen([zsic, "models", "pull", NAME], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            while "waiting for another process to fetch model.safetensors" not in (waiting.stderr.readline() or sys.exit("no wait")):
                pass
        assert waiting.wait() == 0
        check("zsic waits for a lock that Python holds")

        linked.symlink_to(ours)
        assert run([*classify, NAME], {**offline, "HF_HOME": str(linked)}) == expected
        python(FIND, {**offline, "HF_HOME": str(linked)})
        check("both find it through a linked cache")

        if os.geteuid() == 0 and not subprocess.run(["mount", "--bind", str(ours), str(ours)], capture_output=True).returncode:
            subprocess.run(["mount", "-o", "remount,ro,bind", str(ours)], check=True)
            try:
                assert run([*classify, NAME], {"HF_ENDPOINT": url, "HF_HOME": str(ours)}) == expected
                python(FIND, {**offline, "HF_HOME": str(ours)})
            finally:
                subprocess.run(["umount", str(ours)], check=True)
            check("both find it in a cache mounted read-only")
        else:
            for path in [ours, *ours.rglob("*")]:
                if path.is_dir() and not path.is_symlink():
                    path.chmod(0o555)
            assert run([*classify, NAME], {"HF_ENDPOINT": url, "HF_HOME": str(ours)}) == expected
            python(FIND, {**offline, "HF_HOME": str(ours)})
            for path in [ours, *ours.rglob("*")]:
                if path.is_dir() and not path.is_symlink():
                    path.chmod(0o755)
            check("both find it in a cache that may not be written")

        if shutil.which("openssl"):
            tls(zsic, classify, expected, Path(folder))
        else:
            print("skip openssl is not here")


def plain(zsic, classify, expected, url, folder):
    """Caches without links, as on exFAT."""
    ours, theirs = folder / "plain-ours", folder / "plain-theirs"
    env = {"HF_ENDPOINT": url, "HF_HUB_DISABLE_SYMLINKS": "1"}
    run([zsic, "models", "pull", NAME], {**env, "HF_HOME": str(ours)})
    assert not any(path.is_symlink() for path in ours.rglob("*"))
    python(FIND, {**env, "HF_HOME": str(ours), "HF_HUB_OFFLINE": "1"})
    check("huggingface_hub finds what zsic fetched without links")
    python(f"from huggingface_hub import snapshot_download as s; s({NAME!r})", {**env, "HF_HOME": str(theirs)})
    assert not any(path.is_symlink() for path in theirs.rglob("*"))
    before = Hub.requests
    assert run([*classify, NAME], {"HF_ENDPOINT": url, "HF_HOME": str(theirs)}) == expected
    assert Hub.requests == before
    run([zsic, "models", "pull", NAME], {"HF_ENDPOINT": url, "HF_HOME": str(theirs)})
    assert Hub.requests == before + 1
    run([zsic, "models", "verify", NAME], {"HF_HOME": str(theirs)})
    check("zsic uses and verifies what huggingface_hub fetched without links, and fetches nothing again")


def tls(zsic, classify, expected, folder):
    openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem"]
    run([*openssl, "-subj", "/CN=test CA", "-addext", "basicConstraints=critical,CA:TRUE"], {}, folder)
    run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "host.key", "-out", "host.csr", "-subj", "/CN=127.0.0.1"], {}, folder)
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    sign = ["openssl", "x509", "-req", "-in", "host.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
    run([*sign, "-out", "host.pem", "-extfile", "ext"], {}, folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "host.pem", folder / "host.key")
    env = {"HF_ENDPOINT": serve(context), "HF_HOME": str(folder / "tls")}
    refused = subprocess.run([*classify, NAME], env={**os.environ, **env}, capture_output=True, text=True)
    assert refused.returncode == 3 and "no secure connection" in refused.stderr, refused.stderr
    assert run([*classify, NAME], {**env, "SSL_CERT_FILE": str(folder / "ca.pem")}) == expected
    check("a CA of one's own is trusted with SSL_CERT_FILE, and not without: " + refused.stderr.strip()[:120])


if __name__ == "__main__":
    main()
