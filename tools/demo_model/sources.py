"""The drawings: which openly licensed emoji designs there are, where they come from, and one SVG for each emoji.

Every design is an npm package of a pinned version, fetched with `npm pack`. `names()` is the list of emoji with their
Unicode CLDR names and keywords, from emojibase-data. OpenMoji is not in `TRAINING`: only evaluate.py reads it.
"""

import json
import re
import subprocess
import tarfile
import unicodedata
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

FACE = "-face"


@dataclass(frozen=True)
class Design:
    """One set of drawings. `kind` says what is in it: "colour" drawings, or "mono" ones in one ink."""

    package: str
    version: str
    kind: str
    licence: str
    credit: str


TRAINING = {
    "noto": Design("@iconify-json/noto", "1.2.9", "colour", "Apache-2.0", "Noto Color Emoji, Google"),
    "noto-v1": Design("@iconify-json/noto-v1", "1.2.5", "colour", "Apache-2.0", "Noto Color Emoji of 2016, Google"),
    "twemoji": Design("@iconify-json/twemoji", "1.2.5", "colour", "CC-BY-4.0", "Twemoji, Twitter and contributors"),
    "fluent": Design("@iconify-json/fluent-emoji", "1.2.7", "colour", "MIT", "Fluent Emoji, Microsoft"),
    "fluent-flat": Design("@iconify-json/fluent-emoji-flat", "1.2.6", "colour", "MIT", "Fluent Emoji, Microsoft"),
    "emojione": Design("@iconify-json/emojione", "1.2.3", "colour", "CC-BY-4.0", "EmojiOne 2, Emojitwo contributors"),
    "fxemoji": Design("@iconify-json/fxemoji", "1.2.2", "colour", "Apache-2.0", "FxEmojis, Mozilla"),
    "streamline": Design("@iconify-json/streamline-emojis", "1.2.4", "colour", "CC-BY-4.0", "Streamline Emojis"),
    "fluent-contrast": Design(
        "@iconify-json/fluent-emoji-high-contrast", "1.2.6", "mono", "MIT", "Fluent Emoji, Microsoft"
    ),
    "emojione-mono": Design(
        "@iconify-json/emojione-monotone", "1.2.1", "mono", "CC-BY-4.0", "EmojiOne 2, Emojitwo contributors"
    ),
    "noto-mono": Design("@fontsource/noto-emoji", "5.3.2", "mono", "OFL-1.1", "Noto Emoji, Google"),
}
HELD_OUT = Design("@iconify-json/openmoji", "1.2.29", "colour", "CC-BY-SA-4.0", "OpenMoji, HfG Schwäbisch Gmünd")
NAMES = Design("emojibase-data", "17.0.0", "names", "MIT and Unicode-3.0", "Unicode CLDR, Miles Johnson")


def fetch(design: Design, work: Path) -> Path:
    """The folder of an npm package, downloaded on first use."""
    folder = work / "packages" / f"{design.package.replace('/', '-').lstrip('@')}-{design.version}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        pack = ["npm", "pack", "--silent", f"{design.package}@{design.version}"]
        name = subprocess.run(pack, cwd=folder.parent, check=True, capture_output=True, text=True).stdout.split()[-1]
        with tarfile.open(folder.parent / name) as archive:
            archive.extractall(folder.parent / "unpacking", filter="data")
        (folder.parent / "unpacking" / "package").rename(folder)
        (folder.parent / name).unlink()
    return folder


def slug(text: str) -> str:
    """An emoji's name as icon sets spell it: "dog face" is "dog-face"."""
    text = unicodedata.normalize("NFD", text.lower().replace("&", "and"))
    text = re.sub(r"[\u0300-\u036f’'“”!.()]", "", text)
    return re.sub(r"[^a-z0-9#*]+", "-", text).strip("-")


def plain(emoji: str) -> str:
    """An emoji without its presentation selector."""
    return emoji.replace("\ufe0f", "")


@dataclass(frozen=True)
class Emoji:
    """One emoji: its characters, CLDR name, keywords, everyday names (shortcodes), group and subgroup."""

    text: str
    name: str
    keywords: tuple[str, ...]
    shortcodes: tuple[str, ...]
    group: str
    subgroup: str


def is_wanted(entry: dict) -> bool:
    """Not the letters of flags, skin tones and hair, nor joined people (couples, families, men and women of a trade)."""
    joined = "\u200d" in entry["emoji"] and entry.get("group") == 1
    return "group" in entry and entry["group"] != 2 and not joined


@cache
def names(work: Path) -> list[Emoji]:
    """Every emoji the model is taught, in Unicode's order."""
    folder = fetch(NAMES, work) / "en"
    groups = json.loads((folder / "messages.json").read_text())
    group_key = {g["order"]: g["key"] for g in groups["groups"]}
    subgroup_key = {g["order"]: g["key"] for g in groups["subgroups"]}
    codes = [json.loads((folder / "shortcodes" / f"{n}.json").read_text()) for n in ("github", "iamcal", "joypixels")]
    found = []
    for entry in sorted(json.loads((folder / "data.json").read_text()), key=lambda e: e.get("order", 0)):
        if not is_wanted(entry):
            continue
        short = []
        for table in codes:
            value = table.get(entry["hexcode"], [])
            short += [value] if isinstance(value, str) else value
        short = [s.replace("_", " ").replace("-", " ").strip() for s in short]
        found.append(
            Emoji(
                text=entry["emoji"],
                name=entry["label"],
                keywords=tuple(entry.get("tags", [])),
                shortcodes=tuple(dict.fromkeys(s for s in short if s)),
                group=group_key[entry["group"]],
                subgroup=subgroup_key[entry["subgroup"]],
            )
        )
    return found


def icon_names(emoji: Emoji) -> list[str]:
    """The names under which an icon set may have this emoji, best first."""
    own = [slug(emoji.name), *(slug(s) for s in emoji.shortcodes)]
    unicode_name = unicodedata.name(plain(emoji.text), "") if len(plain(emoji.text)) == 1 else ""
    return list(dict.fromkeys([own[0], own[0] + FACE, slug(unicode_name), *own[1:]]))


def svg_of(icons: dict, name: str) -> str:
    """A whole SVG document from an Iconify icon."""
    icon = icons["icons"][name]
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", 16))
    box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
    body = icon["body"].replace("currentColor", "#000")
    xmlns = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {xmlns} viewBox="{box}">{body}</svg>'


def iconify(folder: Path, emoji: list[Emoji]) -> dict[str, list[str]]:
    """The SVGs of an Iconify package by emoji. A set may draw an emoji several times ("bird-1", "bird-2")."""
    icons = json.loads((folder / "icons.json").read_text())
    alias = {a: v["parent"] for a, v in icons.get("aliases", {}).items() if len(v) == 1}
    by_name: dict[str, list[str]] = {}
    squeezed: dict[str, str] = {}
    for name in [*icons["icons"], *alias]:
        real = alias.get(name, name)
        if real in icons["icons"]:
            by_name.setdefault(name, []).append(real)
            by_name.setdefault(re.sub(r"-\d$", "", name), []).append(real)
            squeezed[name.replace("-", "")] = real
    found = {}
    for e in emoji:
        candidates = icon_names(e)
        hit = next((by_name[n] for n in candidates if n in by_name), None)
        hit = hit or next(([squeezed[n.replace("-", "")]] for n in candidates if n.replace("-", "") in squeezed), None)
        if hit:
            found[e.text] = [svg_of(icons, n) for n in dict.fromkeys(hit)]
    return found


def font_outlines(folder: Path, emoji: list[Emoji]) -> dict[str, list[str]]:
    """The glyphs of a one-ink emoji font, which comes in parts by range of characters, as SVGs."""
    from fontTools.pens.boundsPen import BoundsPen
    from fontTools.pens.svgPathPen import SVGPathPen
    from fontTools.ttLib import TTFont

    found: dict[str, list[str]] = {}
    for part in sorted((folder / "files").glob("noto-emoji-*-400-normal.woff2")):
        font = TTFont(BytesIO(part.read_bytes()))
        glyphs, characters = font.getGlyphSet(), font.getBestCmap()
        for e in emoji:
            if len(plain(e.text)) != 1 or ord(plain(e.text)) not in characters or e.text in found:
                continue
            glyph = glyphs[characters[ord(plain(e.text))]]
            path, bounds = SVGPathPen(glyphs), BoundsPen(glyphs)
            glyph.draw(path)
            glyph.draw(bounds)
            if bounds.bounds is None:
                continue
            x0, y0, x1, y1 = bounds.bounds
            box = f"{x0 - 20} {-y1 - 20} {x1 - x0 + 40} {y1 - y0 + 40}"
            shape = f'<path transform="scale(1 -1)" d="{path.getCommands()}"/>'
            found[e.text] = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{shape}</svg>']
    return found


def drawings(design: Design, work: Path) -> dict[str, list[str]]:
    """One or more SVGs for each emoji that a design has."""
    folder = fetch(design, work)
    read = font_outlines if design.package.startswith("@fontsource/") else iconify
    return read(folder, names(work))
