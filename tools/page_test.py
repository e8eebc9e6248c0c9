"""Tries the pages of `--format html` in a browser: keys, filters, corrections that `zsic eval` reads, names that must do nothing,
no network, no error on the console.

    apt-get install chromium chromium-driver
    pip install pillow
    cargo build --release
    python tools/page_test.py [--zsic target/release/zsic] [--many 2000] [--shots FOLDER]

`--many N` also makes a page of N photographs and measures it. `--shots` keeps pictures of the pages, light and dark.
"""

import argparse
import base64
import csv
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "examples/images"
LABELS = ["bear", "car", "cat", "dog", "fox", "owl", "pizza"]
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"Enter": "\ue007", "Backspace": "\ue003", "Left": "\ue012", "Up": "\ue013", "Right": "\ue014", "Down": "\ue015",
        "Home": "\ue011", "End": "\ue010", "Tab": "\ue004", "Shift": "\ue008", "Escape": "\ue00c"}
SWITCHES = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
            "--disable-background-networking", "--disable-component-update", "--disable-sync"]
HOSTILE = [
    b"</script><script>alert(1)<script>.png",
    b"\"><img src=x onerror=alert(2)>.png",
    b"<!--<script>.png",
    b"a\nb\rc\td.png",
    "gpj.\u202eexe\u2066.png".encode(),
    b"a, \"b\" & 'c';d.png",
    b"=cmd()|x.png",
    b"not \xff\xfe UTF-8.png",
    "so\u00adft a\u200db \u200c\u200d \u05d0\u200d\u05d0 \u00e9\ufe0f x\ufe0f \u200b\u200d \u3164 \ufff9 \U000e0041.png".encode(),
]


class Browser:
    """Chromium by the WebDriver protocol."""

    def __init__(self, folder: Path, port: int = 9517):
        self.downloads = folder / "downloads"
        self.downloads.mkdir()
        self.driver = subprocess.Popen(["chromedriver", f"--port={port}", "--silent"], stdout=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{port}"
        options = {
            "args": [*SWITCHES, "--window-size=1366,850", f"--user-data-dir={folder / 'profile'}"],
            "prefs": {"download.default_directory": str(self.downloads), "download.prompt_for_download": False},
        }
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"},
                                  "unhandledPromptBehavior": "ignore"}}
        for _ in range(100):
            try:
                self.url += "/session/" + self.ask("POST", "/session", {"capabilities": wanted})["sessionId"]
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        self.tools("Network.enable")
        self.tools("Network.emulateNetworkConditions", **offline)

    def ask(self, method: str, path: str, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            return json.load(urllib.request.urlopen(request, timeout=120))["value"]
        except urllib.error.HTTPError as e:
            raise RuntimeError(json.load(e)["value"]["error"]) from None

    def tools(self, command: str, **params):
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def open(self, page: Path):
        self.ask("POST", "/url", {"url": page.resolve().as_uri()})

    def run(self, script: str, *args):
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(args)})

    def find(self, selector: str) -> str:
        return self.ask("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def hold(self, key: str, code: str):
        """Presses a key that repeats."""
        for repeat in [False, True, True]:
            self.tools("Input.dispatchKeyEvent", type="keyDown", key=key, code=code, text=key, autoRepeat=repeat, windowsVirtualKeyCode=ord(key))
        self.tools("Input.dispatchKeyEvent", type="keyUp", key=key, code=code, windowsVirtualKeyCode=ord(key))

    def type(self, *keys: str, shift: bool = False):
        actions = []
        for key in keys:
            value = KEYS.get(key, key)
            actions += [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        if shift:
            actions = [{"type": "keyDown", "value": KEYS["Shift"]}, *actions, {"type": "keyUp", "value": KEYS["Shift"]}]
        self.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def click(self, selector: str):
        self.ask("POST", f"/element/{self.find(selector)}/click", {})

    def choose(self, identifier: str, value: str):
        self.run("const e = document.getElementById(arguments[0]); e.value = arguments[1];"
                 "e.dispatchEvent(new Event('change')); e.dispatchEvent(new Event('input'));", identifier, value)

    def text(self, identifier: str) -> str:
        return self.run("return document.getElementById(arguments[0]).textContent", identifier)

    def errors(self) -> list:
        return [entry for entry in self.ask("POST", "/se/log", {"type": "browser"})]

    def has_alert(self) -> bool:
        try:
            self.ask("GET", "/alert/text")
            return True
        except RuntimeError as e:
            assert "no such alert" in str(e), e
            return False

    def shot(self, path: Path, dark: bool = False, size=(1366, 850)):
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.tools("Emulation.setEmulatedMedia", features=scheme)
        self.ask("POST", "/window/rect", {"width": size[0], "height": size[1]})
        time.sleep(0.3)
        path.write_bytes(base64.b64decode(self.ask("GET", "/screenshot")))

    def downloaded(self, name: str) -> Path:
        for _ in range(100):
            if (self.downloads / name).exists():
                return self.downloads / name
            time.sleep(0.1)
        raise AssertionError(f"{name} was not saved")

    def close(self):
        try:
            self.ask("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()


class Zsic:
    """The command, with a cache of its own."""

    def __init__(self, binary: Path, cache: Path):
        self.binary, self.cache = binary.resolve(), cache

    def __call__(self, folder: Path, *args, status: int = 0) -> subprocess.CompletedProcess:
        env = {**os.environ, "ZSIC_CACHE_DIR": str(self.cache), "ZSIC_MODEL": "demo"}
        done = subprocess.run([str(self.binary), *args], cwd=folder, env=env, capture_output=True)
        assert done.returncode == status, (args, done.returncode, done.stderr.decode())
        return done


def current(browser: Browser) -> int:
    return int(browser.run("return document.querySelector('[aria-selected=true]').id.slice(1)"))


def visible(browser: Browser) -> list:
    return browser.run("return [...document.querySelectorAll('.card:not([hidden])')].map((card) => Number(card.id.slice(1)))")


def check_quiet(browser: Browser):
    """No error, no alert, no request."""
    assert not browser.has_alert()
    errors = browser.errors()
    assert errors == [], errors
    loaded = browser.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [name for name in loaded if not name.startswith(("data:", "blob:"))] == [], loaded


def check_classify(browser: Browser, zsic: Zsic, folder: Path, shots: Path | None):
    """Filters, keys and corrections on a page of `classify`, which `eval` then reads."""
    for at, path in enumerate(sorted(IMAGES.rglob("*.*g")) + sorted(IMAGES.rglob("*.webp"))):
        shutil.copy(path, folder / f"{at:02}{path.suffix}")
    zsic(folder, "classify", ".", "-l", ",".join(LABELS), "-o", "review.html")
    browser.open(folder / "review.html")
    data = json.loads(browser.text("data"))
    images, labels = data["images"], data["labels"]
    assert labels == LABELS and len(visible(browser)) == len(images) >= 17
    assert current(browser) == 0
    if shots:
        browser.shot(shots / "classify-light.png")
        browser.shot(shots / "classify-dark.png", dark=True)
    # The keyboard: the pictures are one stop of the tab order, with arrows between them.
    browser.run("document.getElementById('by-name').focus()")
    browser.type("Tab")
    assert browser.run("return document.activeElement.id") == "p0", "save is disabled, so the pictures follow"
    outline = browser.run("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "the focus is visible"
    browser.type("Right", "Right", "Left")
    assert current(browser) == 1
    browser.type("Down", "Up", "End")
    assert current(browser) == len(images) - 1
    browser.type("Home")
    # What a screen reader says.
    name = browser.ask("GET", f"/element/{browser.find('#p0')}/computedlabel")
    assert images[0]["image"].split("/")[-1] in name and labels[images[0]["answer"][0]] in name, name
    assert browser.ask("GET", f"/element/{browser.find('#p0')}/computedrole") in ("option", "listboxoption")
    # Decisions: accept, relabel, none, another label, two labels, and one that is taken back.
    answer = [labels[image["answer"][0]] for image in images]
    other = next(label for label in labels if label != answer[1])
    browser.type("Enter")
    assert current(browser) == 1 and f"{answer[0]} accepted. 1 of {len(images)} reviewed" in browser.text("live")
    browser.type(str(labels.index(other) + 1))
    assert current(browser) == 2 and "1 relabelled" in browser.text("count")
    browser.type("0")
    browser.type("l", *"café, small", "Enter")
    assert browser.run("return document.activeElement.id") == "p4", "the next picture has the focus again"
    second = next(label for label in labels if label != answer[4])
    browser.type(str(labels.index(second) + 1), shift=True)
    assert current(browser) == 4, "a label that is added leaves the picture"
    browser.type("Enter")
    assert current(browser) == 5 and "5 of" in browser.text("count"), "Enter goes on and keeps what was decided"
    browser.type("Enter", "Left", "Backspace")
    assert "no decision" in browser.text("live")
    # Undo returns to the picture of the last decision.
    browser.type("Right", "Enter")
    assert current(browser) == 7
    browser.type("u")
    assert current(browser) == 6 and "5 of" in browser.text("count")
    browser.type("Enter")
    browser.click("#undo")
    assert current(browser) == 6 and "5 of" in browser.text("count")
    # Filters.
    expected = {0: [answer[0]], 1: [other], 2: ["unknown"], 3: ["café, small"], 4: [answer[4], second]}
    browser.choose("by-state", "done")
    assert visible(browser) == [0, 1, 2, 3, 4], visible(browser)
    browser.choose("by-state", "changed")
    assert set(visible(browser)) == {1, 2, 3, 4}
    if shots:
        browser.choose("by-state", "")
        browser.click("#p3")
        browser.shot(shots / "reviewed-light.png")
        browser.shot(shots / "reviewed-dark.png", dark=True)
        browser.shot(shots / "narrow.png", size=(400, 850))
        browser.shot(shots / "narrow.png", size=(400, 850))
        browser.shot(shots / "laptop.png", size=(1366, 657))
        browser.ask("POST", "/window/rect", {"width": 1366, "height": 850})
    browser.choose("by-state", "open")
    assert set(visible(browser)) == set(range(5, len(images)))
    browser.run("document.querySelector('.card:not([hidden])').focus()")
    browser.click(f"#p{visible(browser)[0]}")
    browser.type("Enter")
    expected[5] = [answer[5]]
    assert current(browser) == 6 and 5 not in visible(browser), "what is reviewed leaves the filter"
    browser.choose("by-state", "")
    browser.choose("by-answer", json.dumps(answer[0]))
    assert visible(browser) == [i for i, own in enumerate(answer) if own == answer[0]]
    browser.choose("by-answer", "")
    browser.choose("order", "certain")
    assert visible(browser) == list(reversed(range(len(images))))
    browser.choose("by-name", "no such name")
    assert visible(browser) == [] and browser.run("return !document.getElementById('nothing').hidden")
    assert browser.run("return document.getElementById('panel').hidden"), "no picture, no panel"
    assert browser.text("fitting") == f"0 of {len(images)} shown"
    counted = browser.text("count")
    browser.run("document.getElementById('none').click()")
    assert browser.text("count") == counted, "a picture that is not shown is not decided"
    browser.click("#all")
    assert len(visible(browser)) == len(images) and not browser.run("return document.getElementById('panel').hidden")
    browser.choose("order", "")
    check_tabs(browser, folder / "review.html")
    check_narrow(browser)
    # Decisions survive a reload, and are saved.
    browser.open(folder / "review.html")
    assert f"6 of {len(images)} reviewed" in browser.text("count")
    browser.click("#save")
    saved = browser.downloaded("corrections.csv")
    rows = list(csv.reader(saved.open(newline="", encoding="utf-8")))
    wanted = [["image", "label"]] + [[images[i]["image"], label] for i, own in sorted(expected.items()) for label in own]
    assert rows == wanted, (rows, wanted)
    shutil.move(saved, folder / "corrections.csv")
    (folder / "map.csv").write_text("unknown,unknown\n")
    report = zsic(folder, "eval", ".", "--truth", "corrections.csv", "--map", "map.csv", "-l",
                  ",".join([*labels, r"café\, small"]), "--unknown")
    truth = json.loads(report.stdout)["truth"]
    assert truth["images"] == len(expected), truth
    check_quiet(browser)
    print(f"classify: {len(images)} images, {len(expected)} decisions read by eval")


def check_tabs(browser: Browser, page: Path):
    """A decision in one tab is there in another, which keeps it."""
    first = browser.ask("GET", "/window")
    second = browser.ask("POST", "/window/new", {"type": "tab"})["handle"]
    browser.ask("POST", "/window", {"handle": second})
    browser.open(page)
    browser.run("document.getElementById('p7').click()")
    browser.type("Enter")
    browser.ask("POST", "/window", {"handle": first})
    time.sleep(0.3)
    assert browser.text("count").startswith("7 of"), browser.text("count")
    browser.run("document.getElementById('p7').click()")
    browser.type("Backspace")
    browser.ask("POST", "/window", {"handle": second})
    time.sleep(0.3)
    assert browser.text("count").startswith("6 of"), browser.text("count")
    browser.ask("DELETE", "/window")
    browser.ask("POST", "/window", {"handle": first})


def check_narrow(browser: Browser):
    """On a narrow screen the panel leaves the picture in focus free."""
    browser.ask("POST", "/window/rect", {"width": 500, "height": 850})
    time.sleep(0.3)
    browser.click("#p0")
    for _ in range(8):
        browser.type("Down")
    card, panel = browser.run("return ['[aria-selected=true]', '#panel'].map((s) => document.querySelector(s).getBoundingClientRect())")
    assert card["top"] >= 0 and card["bottom"] <= panel["top"], (card, panel)
    browser.ask("POST", "/window/rect", {"width": 1366, "height": 850})


def docs_picture(browser: Browser, zsic: Zsic, folder: Path, path: Path):
    """The picture in docs/review.md."""
    page = folder / "docs.html"
    zsic(ROOT, "classify", "examples/images/mixed", "-l", "cat,dog,bird", "-o", str(page))
    browser.open(page)
    browser.click("#p0")
    browser.type("0", "Enter", "Enter")
    png = path.with_suffix(".png")
    browser.shot(png, size=(1300, 830))
    Image.open(png).convert("RGB").save(path, quality=82, method=6)
    png.unlink()
    browser.run("localStorage.clear()")
    browser.ask("POST", "/window/rect", {"width": 1366, "height": 850})


def fresh(browser: Browser, page: Path):
    """Opens a page without decisions of an earlier visit."""
    browser.open(page)
    browser.run("localStorage.clear()")
    browser.open(page)


def check_keys(browser: Browser, page: Path):
    """Keys without a focus, labels that are added under a filter, keys that change nothing, and a key that is held."""
    fresh(browser, page)
    browser.type("Enter")
    assert browser.text("count").startswith("1 of"), "a key at load is for the picture in the panel"
    browser.click("h1")
    browser.type("2")
    assert browser.text("count").startswith("2 of"), "a key after a click beside the pictures, too"
    browser.run("document.getElementById('by-name').focus()")
    browser.type("2")
    assert browser.run("return document.getElementById('by-name').value") == "2" and browser.text("count").startswith("2 of")
    browser.click("#reset")
    browser.click("#p4")
    browser.run("document.activeElement.blur()")
    browser.run("document.body.append(Object.assign(document.createElement('p'), {id: 'far', innerHTML: '<br>'.repeat(200)}))")
    browser.run("scrollTo(0, document.body.scrollHeight)")
    browser.type("Enter")
    assert browser.text("count").startswith("2 of"), "a picture that cannot be seen is not decided"
    browser.run("document.getElementById('far').remove(); scrollTo(0, 0)")
    # Labels are added to one picture, also where it no longer fits the filter; then it leaves.
    browser.choose("by-state", "open")
    at = visible(browser)[0]
    browser.click(f"#p{at}")
    browser.type("2", shift=True)
    assert current(browser) == at
    browser.type("3", shift=True)
    assert current(browser) == at and browser.text("count").startswith("3 of"), browser.text("count")
    browser.type("Enter")
    assert current(browser) == at + 1 and at not in visible(browser)
    browser.choose("by-state", "")
    # Enter keeps what is decided, so Accept has another key there.
    cap = "return document.querySelector('#accept kbd').textContent"
    assert browser.run(cap) == "Enter"
    browser.click(f"#p{at}")
    assert browser.run(cap) == "A"
    browser.type("a")
    assert "accepted" in browser.run(f"return document.querySelector('#p{at} .mark').textContent")
    # Backspace on a picture without a decision is nothing that could be taken back.
    browser.click("#p9")
    browser.type("Backspace", "u")
    assert f"p{at}" == browser.run("return document.activeElement.id") and "→" in browser.run(f"return document.querySelector('#p{at} .mark').textContent")
    browser.run("scrollTo(0, 0)")
    browser.hold(" ", "Space")
    time.sleep(0.5)
    assert browser.run("return scrollY") == 0, "Space does not scroll from a picture"
    browser.click("#p10")
    counted = browser.text("count")
    browser.hold("0", "Digit0")
    assert current(browser) == 11 and browser.text("count") != counted, "a key that is held decides once"
    # What is typed stays while another tab decides something.
    browser.click("#p5")
    browser.type("l", *"hippo")
    browser.run("const key = Object.keys(localStorage).find((key) => key.startsWith('zsic')); dispatchEvent(new StorageEvent('storage', {key}))")
    assert browser.run("return document.getElementById('other').value") == "hippo"
    browser.type("Enter")
    browser.type("l", *"hip")
    browser.click("#p12")
    assert browser.run("return document.getElementById('other').value") == "", "it was meant for another picture"
    check_quiet(browser)
    browser.run("localStorage.clear()")


def check_speech(browser: Browser, page: Path):
    """What a screen reader says."""
    fresh(browser, page)
    data = json.loads(browser.text("data"))
    nodes = browser.tools("Accessibility.getFullAXTree")["nodes"]
    box = next(node for node in nodes if node["role"]["value"] == "listbox")
    assert box["description"]["value"].startswith("Arrow keys move."), box
    label = lambda selector: browser.ask("GET", f"/element/{browser.find(selector)}/computedlabel").strip()
    last = len(data["images"]) - 1
    browser.ask("POST", "/window/rect", {"width": 500, "height": 400})
    assert data["labels"][data["images"][last]["answer"][0]] in label(f"#p{last}"), "a card that is far away has a name"
    browser.ask("POST", "/window/rect", {"width": 1366, "height": 850})
    names = [label(selector) for selector in ("#accept", "#clear", "#undo")]
    assert names == ["Accept", "Clear", "Undo"], names
    names = [label("#choices button"), label("#other")]
    assert names[0].startswith(LABELS[0]) and names[1] == "Other label", names
    keys = browser.run("return [...document.querySelectorAll('[aria-keyshortcuts]')].map((e) => e.getAttribute('aria-keyshortcuts'))")
    assert {"Enter", "t", "0", "Backspace", "u", "l", "/", "1"} <= set(keys), keys
    browser.click("#p0")
    browser.type("2", "Left")
    assert f"now {data['labels'][1]}" in label("#p0"), label("#p0")


def check_fit(browser: Browser, zsic: Zsic, folder: Path):
    """Nothing is wider than its place: shares beside buttons, long labels, pages of 320 pixels, filters that fold."""
    sizes = "const panel = document.getElementById('panel'); return [panel.scrollWidth - panel.clientWidth, document.documentElement.scrollWidth - innerWidth]"
    zsic(folder, "classify", ".", "-l", ",".join(LABELS), "--unknown", "--threshold", "0.6", "-o", "unknown.html")
    fresh(browser, folder / "unknown.html")
    images = json.loads(browser.text("data"))["images"]
    for at in range(len(images)):
        browser.run(f"document.getElementById('p{at}').click()")
        assert browser.run(sizes) == [0, 0], (at, images[at]["unknown"])
    browser.run("document.getElementById('none-share').textContent = '> 99.9 %'")
    assert browser.run(sizes) == [0, 0], "Undo is in the panel"
    browser.click("#p0")
    browser.click("#other")
    browser.type(*"a" * 120, "Enter", "Left")
    assert browser.run(sizes) == [0, 0], "a label without a space is broken"
    browser.type("Backspace")
    for width in (320, 400, 1366):
        browser.tools("Emulation.setDeviceMetricsOverride", width=width, height=657, deviceScaleFactor=1, mobile=False)
        assert browser.run(sizes) == [0, 0], width
        is_narrow = width < 900
        shown = "return document.getElementById('by-state').offsetHeight > 0"
        assert browser.run(shown) != is_narrow
        if is_narrow:
            browser.click("#more")
            assert browser.run(shown) and browser.run(sizes) == [0, 0]
            browser.click("#more")
    assert browser.run("return document.querySelector('.tools').offsetHeight") < 60, "the bar has one line"
    below = "return innerHeight - document.querySelector('#choices button:last-child').getBoundingClientRect().bottom"
    browser.run("scrollTo(0, 0)")
    assert browser.run(below) > 0, "all labels can be seen at load"
    browser.tools("Emulation.clearDeviceMetricsOverride")
    browser.run("localStorage.clear()")
    check_quiet(browser)


def check_truths(browser: Browser, zsic: Zsic, folder: Path):
    """Truths of several labels, and answers of several: what Accept leaves out is shown, and numbers show what they count."""
    (folder / "multi.csv").write_text("image,labels\nowl/owl.png,owl;fox\nbear/bear.png,bear\nfox/fox.png,fox\n")
    zsic(folder, "eval", ".", "--truth", "multi.csv", "-l", "owl,fox,bear", "-o", "multi.html")
    fresh(browser, folder / "multi.html")
    images = json.loads(browser.text("data"))["images"]
    at = next(at for at, image in enumerate(images) if image["image"] == "./owl/owl.png")
    assert images[at]["right"]
    browser.click(f"#p{at}")
    assert browser.text("says") == "Right: owl · truth: owl, fox", browser.text("says")
    browser.type("t")
    assert "now owl, fox" in browser.text("live"), browser.text("live")
    browser.run("localStorage.clear()")
    zsic(folder, "eval", ".", "-l", "owl,fox,bear,an owl,a fox,brown bear", "--independent", "--background", "sky", "-o", "several.html")
    fresh(browser, folder / "several.html")
    data = json.loads(browser.text("data"))
    assert any(len(image["answer"]) > 1 for image in data["images"]), "no picture has two answers"
    browser.tools("Emulation.setDeviceMetricsOverride", width=1366, height=657, deviceScaleFactor=1, mobile=False)
    browser.click("#p0")
    browser.type("1", "2", "3")
    assert browser.run("return document.querySelector('.tools').offsetHeight") < 60, "the bar of eval has one line"
    browser.tools("Emulation.clearDeviceMetricsOverride")
    buttons = browser.run("return [...document.querySelectorAll('[data-answer]')].map((b) => [b.dataset.truth, b.dataset.answer, Number(b.textContent)])")
    for truth, answer, count in buttons:
        browser.click(f'[data-truth="{truth}"][data-answer="{answer}"]')
        assert len(visible(browser)) == count, (truth, answer, count, visible(browser))
    # A filter by hand shows every picture that has the answer.
    second = next(image["answer"][1] for image in data["images"] if len(image["answer"]) > 1)
    browser.choose("by-truth", "")
    browser.choose("by-answer", json.dumps(data["labels"][second]))
    assert visible(browser) == [at for at, image in enumerate(data["images"]) if second in image["answer"]]
    check_quiet(browser)


def check_hostile(browser: Browser, zsic: Zsic, folder: Path):
    """Names that would be markup, and their way through the csv."""
    for name in HOSTILE:
        path = os.fsencode(folder) + b"/" + name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        shutil.copy(os.fsencode(IMAGES / "owl.png"), path)
    label = "</script><script>alert(3)</script>"
    zsic(folder, "classify", ".", "-t", "{}", "-l", rf"owl,{label},a \"b\"", "-o", "review.html")
    browser.open(folder / "review.html")
    check_quiet(browser)
    assert len(visible(browser)) == len(HOSTILE)
    for at in range(len(HOSTILE)):
        browser.click(f"#p{at}")
        title = browser.run("return document.querySelector('[aria-selected=true] .name').title")
        assert browser.text("path") == title, "the script and the page replace the same characters"
    browser.click("#p0")
    for at in range(len(HOSTILE)):
        browser.type("2" if at % 2 else "1")
    browser.click("#save")
    shutil.move(browser.downloaded("corrections.csv"), folder / "corrections.csv")
    report = zsic(folder, "eval", ".", "--truth", "corrections.csv", "-t", "{}", "-l", f"owl,{label}")
    report = json.loads(report.stdout)
    assert report["truth"]["images"] == len(HOSTILE), report["truth"]
    check_quiet(browser)
    print(f"hostile names: {len(HOSTILE)} images, all corrections read by eval")


def check_eval(browser: Browser, zsic: Zsic, folder: Path, shots: Path | None):
    """The page of `eval`: the report, the verdicts and the confusions that filter."""
    kinds = {"bear.png": "bear", "fox.png": "fox", "owl.jpg": "owl", "owl.png": "owl"}
    for name, label in kinds.items():
        (folder / label).mkdir(exist_ok=True)
        shutil.copy(IMAGES / name, folder / label / name)
    shutil.copy(IMAGES / "fox.png", folder / "bear" / "not_a_bear.png")
    for at in range(12):
        picture = Image.open(IMAGES / "owl.png").convert("RGB").filter(ImageFilter.GaussianBlur(at * 3))
        picture.save(folder / "owl" / f"blurred_{at:02}.png")
    zsic(folder, "eval", ".", "-o", "report.html")
    browser.open(folder / "report.html")
    data = json.loads(browser.text("data"))
    assert data["judged"] and browser.run("return document.querySelectorAll('.report section').length") == 4
    if shots:
        browser.shot(shots / "eval-light.png")
        browser.shot(shots / "eval-dark.png", dark=True)
        browser.shot(shots / "eval-narrow.png", size=(400, 850))
        browser.ask("POST", "/window/rect", {"width": 1366, "height": 850})
    wrong = [i for i, image in enumerate(data["images"]) if not image["right"]]
    assert any(data["images"][i]["image"] == "./bear/not_a_bear.png" for i in wrong)
    browser.choose("by-verdict", "wrong")
    assert visible(browser) == wrong
    bear, fox = data["labels"].index("bear"), data["labels"].index("fox")
    browser.click(f'[data-truth="{bear}"][data-answer="{fox}"]')
    found = [data["images"][i]["image"] for i in visible(browser)]
    assert found == ["./bear/not_a_bear.png"], found
    if shots:
        browser.shot(shots / "eval-wrong-light.png")
    browser.type("Enter")
    assert "fox accepted" in browser.text("live")
    browser.click("#save")
    rows = list(csv.reader(browser.downloaded("corrections.csv").open(newline="")))
    assert rows == [["image", "label"], ["./bear/not_a_bear.png", "fox"]], rows
    (browser.downloads / "corrections.csv").unlink()
    check_quiet(browser)
    print(f"eval: {len(data['images'])} images, {len(wrong)} wrong")


def photograph(seed: int) -> Image.Image:
    """A picture with as much detail as a photograph: soft shapes and noise."""
    rng = random.Random(seed)
    picture = Image.new("RGB", (640, 480), tuple(rng.randrange(256) for _ in range(3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(40):
        x, y, r = rng.randrange(640), rng.randrange(480), rng.randrange(5, 120)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=tuple(rng.randrange(256) for _ in range(3)))
    noise = Image.effect_noise((640, 480), 40).convert("RGB")
    return Image.blend(picture.filter(ImageFilter.GaussianBlur(1)), noise, 0.15)


def measure(browser: Browser, zsic: Zsic, folder: Path, count: int):
    """The size of a page of many pictures, and how long it takes to make and to show."""
    for at in range(count):
        photograph(at).save(folder / f"{at:05}.jpg", quality=88)
    zsic(folder, "classify", ".", "-l", ",".join(LABELS), "-o", "scores.jsonl")
    start = time.monotonic()
    zsic(folder, "classify", ".", "-l", ",".join(LABELS), "-o", "again.jsonl")
    scores = time.monotonic() - start
    start = time.monotonic()
    zsic(folder, "classify", ".", "-l", ",".join(LABELS), "-o", "review.html")
    page = time.monotonic() - start
    size = (folder / "review.html").stat().st_size
    browser.open(folder / "review.html")
    paint = browser.run("return Object.fromEntries(performance.getEntriesByType('paint').map((e) => [e.name, e.startTime]))")
    ready = browser.run("return performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    browser.click("#p0")
    start = time.monotonic()
    browser.type(*["Enter"] * 50)
    keys = (time.monotonic() - start) / 50
    browser.choose("by-state", "open")
    took = browser.run("const s = performance.now(); document.getElementById('by-state').value = '';"
                       "document.getElementById('by-state').onchange(); document.body.offsetHeight; return performance.now() - s")
    check_quiet(browser)
    print(f"{count} pictures: {size / 1e6:.1f} MB, {size / count / 1e3:.1f} kB each; scores {scores:.1f} s, scores and page {page:.1f} s; "
          f"first paint {paint['first-contentful-paint']:.0f} ms, ready {ready:.0f} ms, a key {keys * 1e3:.0f} ms, a filter {took:.0f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zsic", type=Path, default=ROOT / "target/release/zsic")
    parser.add_argument("--many", type=int, default=0)
    parser.add_argument("--shots", type=Path)
    args = parser.parse_args()
    if args.shots:
        args.shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        zsic = Zsic(args.zsic, base / "cache")
        folders = [base / name for name in ("classify", "hostile", "eval", "many")]
        for folder in folders:
            folder.mkdir()
        browser = Browser(base)
        try:
            check_classify(browser, zsic, folders[0], args.shots)
            for check in (check_keys, check_speech):
                check(browser, folders[0] / "review.html")
            check_fit(browser, zsic, folders[0])
            check_hostile(browser, zsic, folders[1])
            if args.shots:
                docs_picture(browser, zsic, base, args.shots / "review.webp")
            check_eval(browser, zsic, folders[2], args.shots)
            check_truths(browser, zsic, folders[2])
            if args.many:
                measure(browser, zsic, folders[3], args.many)
        finally:
            browser.close()


if __name__ == "__main__":
    main()
