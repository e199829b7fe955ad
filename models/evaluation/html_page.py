"""HTML that needs nothing from outside: text is escaped, pictures are inlined, style stands in the page."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Final

_STYLE: Final = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1b1f24; }
body { max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #ccd3da; }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: #57606a; padding-bottom: .3rem; }
th, td { border: 1px solid #d0d7de; padding: .25rem .55rem; text-align: right; vertical-align: top; }
th { background: #f3f5f8; } tbody th, table.words td { text-align: left; }
.scroll { overflow-x: auto; } img { max-width: 100%; height: auto; } figure { margin: .8rem 0; }
figcaption { color: #57606a; }
.warning { border-left: 4px solid #b35900; background: #fff4e5; padding: .6rem .9rem; }
nav a { margin-right: 1rem; } @media print { body { max-width: none; } h2 { break-after: avoid; } }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page; ``parts`` are HTML as the functions below give it."""
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def heading(text: str, anchor: str) -> str:
    """Of a chapter that ``contents`` can point to."""
    return f'<h2 id="{escape(anchor)}">{escape(text)}</h2>'


def contents(chapters: Iterable[tuple[str, str]]) -> str:
    """Links to chapters, each a text and an anchor."""
    links = (f'<a href="#{escape(anchor)}">{escape(text)}</a>' for text, anchor in chapters)
    return f"<nav>{' '.join(links)}</nav>"


def paragraph(text: str, kind: str = "") -> str:
    """Plain text; ``kind`` is a class of the style, e.g. ``warning``."""
    return f'<p class="{escape(kind)}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def bullets(texts: Iterable[str]) -> str:
    """A list of sentences."""
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


def table(caption: str, head: Sequence[str], lines: Iterable[Sequence[str]], *, words: bool = False) -> str:
    """A table whose first column names its lines; ``words`` aligns the rest as text."""
    top = "".join(f'<th scope="col">{escape(each)}</th>' for each in head)
    body = "\n".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(each)}</td>" for each in rest)}</tr>'
        for first, *rest in lines
    )
    kind = ' class="words"' if words else ""
    return (
        f'<div class="scroll"><table{kind}><caption>{escape(caption)}</caption>'
        f"<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def picture(file: Path, text: str) -> str:
    """A PNG inside the page, with a text that says what it shows."""
    data = b64encode(file.read_bytes()).decode("ascii")
    said = escape(text)
    image = f'<img alt="{said}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{said}</figcaption></figure>"
