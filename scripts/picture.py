#!/usr/bin/env python3
"""Draws what a command prints on a terminal as an SVG.

    picture.py COMMAND... < output > picture.svg

Standard input is what the command has printed, with its colours (SGR escape sequences);
scripts/picture.sh runs bt for it.
"""
import html
import re
import sys

WIDTH, LINE, GLYPH, MARGIN = 104, 19, 8.43, 18
COLOURS = {31: "#e06c75", 32: "#98c379", 33: "#e5c07b", 34: "#61afef", 35: "#c678dd", 36: "#56b6c2", 37: "#d7dae0", 90: "#7f848e"}


def spans(line):
    """Split a line into pieces of one look: (text, style)."""
    style = {"bold": False, "dim": False, "colour": None}
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        m = re.fullmatch(r"\x1b\[([0-9;]*)m", part)
        if not m:
            if part:
                yield part, dict(style)
            continue
        for code in [int(c or 0) for c in m[1].split(";")]:
            if code == 0:
                style = {"bold": False, "dim": False, "colour": None}
            elif code == 1:
                style["bold"] = True
            elif code == 2:
                style["dim"] = True
            elif code in (22, 39):
                style["bold" if code == 22 else "colour"] = None
            elif code - 60 in COLOURS:
                style["colour"] = COLOURS[code - 60]
            elif code in COLOURS:
                style["colour"] = COLOURS[code]


def shorten(pieces):
    """Cut a line that is wider than the terminal, with an ellipsis."""
    out, width = [], 0
    for text, style in pieces:
        if width + len(text) > WIDTH:
            out.append((text[: WIDTH - width - 1] + "…", style))
            break
        out.append((text, style))
        width += len(text)
    return out


def main():
    lines = [[("$ " + " ".join(sys.argv[1:]), {"bold": True, "dim": False, "colour": None})]]
    for line in sys.stdin.read().replace("\r", "").rstrip("\n").split("\n"):
        lines.append(shorten(spans(line)))
    w = int(WIDTH * GLYPH + 2 * MARGIN)
    h = len(lines) * LINE + 2 * MARGIN + 20
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img">')
    print(f"<title>{html.escape(' '.join(sys.argv[1:]))}</title>")
    print(f'<rect width="{w}" height="{h}" rx="8" fill="#21252b"/>')
    for i, fill in enumerate(["#ff5f56", "#ffbd2e", "#27c93f"]):
        print(f'<circle cx="{20 + 18 * i}" cy="17" r="5.5" fill="{fill}"/>')
    print('<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,\'DejaVu Sans Mono\',monospace" font-size="14" fill="#abb2bf" xml:space="preserve">')
    for n, pieces in enumerate(lines):
        y, x = 20 + MARGIN + LINE * (n + 1) - 5, 0
        row = ""
        for text, style in pieces:
            look = f' fill="{style["colour"]}"' if style["colour"] else ""
            look += ' font-weight="bold"' if style["bold"] else ""
            look += ' opacity=".6"' if style["dim"] else ""
            # Each piece has its place and its width, whatever font there is.
            if text.strip():
                row += f'<text x="{MARGIN + x * GLYPH:.1f}" y="{y}" textLength="{len(text) * GLYPH:.1f}" lengthAdjust="spacingAndGlyphs"{look}>{html.escape(text)}</text>'
            x += len(text)
        print(row)
    print("</g>\n</svg>")


main()
