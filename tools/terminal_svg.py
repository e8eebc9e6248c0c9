"""Draws a terminal session as an SVG, from a real run.

usage: terminal_svg.py target/release/zsic > docs/terminal.svg     (in the root of the repository)

Each command runs on a terminal of its own, so that it prints what a person sees, colours included.
"""

import fcntl
import html
import os
import pty
import re
import struct
import subprocess
import sys
import termios

COMMANDS = [
    "zsic classify demo:owl.png -l fox,bear,owl -m demo",
    "zsic classify examples/images/mixed/img_0[12].* -l cat,dog,pizza,car -k 2 -m demo",
    "zsic classify demo:owl.png -l fox,bear,owl -m demo | jq -r '.predictions[0].label'",
]
COLUMNS, ROWS = 84, 40
FONT, LINE, MARGIN = 14, 19, 18
COLOURS = {"31": "#f07178", "32": "#a5d6a7", "33": "#ffcb6b", "34": "#82aaff", "35": "#c792ea", "36": "#89ddff", "90": "#7a8394"}
STYLE = f"text {{ font: {FONT}px ui-monospace, Menlo, Consolas, monospace; white-space: pre; fill: #e6e6e6 }} .bold {{ font-weight: bold }} .dim {{ opacity: .6 }}"


def screen(zsic, command):
    """What the command prints on a terminal."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "PATH": f"{os.path.dirname(os.path.abspath(zsic))}:{os.environ['PATH']}"}
    running = subprocess.Popen(["bash", "-c", command], stdin=child, stdout=child, stderr=child, env=environment)
    os.close(child)
    printed = b""
    while True:
        try:
            part = os.read(parent, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        printed += part
    if running.wait():
        sys.exit(f"failed: {command}\n{printed.decode()}")
    return printed.decode().replace("\r\n", "\n").rstrip("\n").split("\n")


def spans(line):
    """The line as SVG, its colours as fills."""
    drawn, fill, classes = "", None, set()
    for text, codes in re.findall(r"([^\x1b]+)|\x1b\[([\d;]*)m", line):
        if text:
            attributes = f' fill="{fill}"' if fill else ""
            attributes += f' class="{" ".join(sorted(classes))}"' if classes else ""
            drawn += f"<tspan{attributes}>{html.escape(text)}</tspan>"
            continue
        for code in (codes or "0").split(";"):
            if code in ("", "0"):
                fill, classes = None, set()
            elif code in ("1", "2"):
                classes.add("bold" if code == "1" else "dim")
            else:
                fill = COLOURS.get(code, fill)
    return drawn


def main():
    lines = []
    for command in COMMANDS:
        lines += [f"\x1b[32m$\x1b[0m \x1b[1m{command}\x1b[0m", *screen(sys.argv[1], command), ""]
    lines.pop()
    width, height = int(COLUMNS * FONT * 0.602) + 2 * MARGIN, len(lines) * LINE + 2 * MARGIN
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">')
    print(f'<style>{STYLE}</style><rect width="{width}" height="{height}" rx="8" fill="#1e222a"/>')
    for row, line in enumerate(lines):
        print(f'<text x="{MARGIN}" y="{MARGIN + (row + 1) * LINE - 5}" xml:space="preserve">{spans(line)}</text>')
    print("</svg>")


main()
