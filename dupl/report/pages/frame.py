"""The frame of a page: one HTML file that needs no network, light or dark, on a desk or in a hand."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dupl.report.symbols import typeset

HERE = Path(__file__).parent
# What a page may load: nothing from elsewhere, and no script but its own, whatever the names on it are.
POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class Section:
    """One section of a page.

    Attributes:
        key: Its anchor, a word.
        title: Its heading, plain text.
        body: HTML.
    """

    key: str
    title: str
    body: str


def text(value: Any) -> str:
    """Return anything as HTML that shows it as it is."""
    return html.escape(str(value), quote=True)


def note(words: str) -> str:
    """Return the paragraph that stands where something is missing, from plain text."""
    return f'<p class="missing">{text(words)}</p>'


def plot(key: str, title: str, about: str = "") -> str:
    """Return the place of a chart, which the page's data holds under ``plots`` by this key; the rest is plain text."""
    below = f"<p>{text(about)}</p>" if about else ""
    place = f'<div data-plot="{text(key)}"></div>'
    return f'<figure class="card"><figcaption>{typeset(title, text)}</figcaption>{below}{place}</figure>'


def tile(label: str, value: str, below: str = "") -> str:
    """Return one of the figures that head a page, from plain text."""
    return f"<div><dt>{text(label)}</dt><dd>{text(value)}</dd><dd>{text(below)}</dd></div>"


def facts(rows: Mapping[str, str]) -> str:
    """Return a list of names and what stands for them; the names are plain text, the values HTML."""
    return "<dl class='facts'>" + "".join(f"<dt>{text(k)}</dt><dd>{v}</dd>" for k, v in rows.items()) + "</dl>"


def link(target: Path, folder: Path) -> str:
    """Return the address of a file as a page in a folder names it; a path is never taken for anything else."""
    return quote(Path(os.path.relpath(target, folder)).as_posix(), errors="surrogateescape")


def folded(title: str, content: str) -> str:
    """Return a long plain text behind its title."""
    return f"<details><summary>{text(title)}</summary><pre>{text(content)}</pre></details>"


def document(
    title: str, lead: str, head: str, sections: Sequence[Section], data: Mapping[str, Any], style: str = ""
) -> str:
    """Return a whole page.

    Args:
        title: Plain text.
        lead: What stands above the title, plain text.
        head: HTML below the title.
        sections: In order.
        data: For the page's script; plain values, with charts under ``plots``.
        style: CSS beyond that of all pages.
    """
    links = "".join(f'<a href="#{text(s.key)}">{text(s.title)}</a>' for s in sections)
    bodies = "".join(f'<section id="{text(s.key)}"><h2>{text(s.title)}</h2>{s.body}</section>' for s in sections)
    script = _asset("page.js")
    trusted = " ".join(_digest(one) for one in (_plotly(), script))
    packed = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{text(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}; script-src {trusted}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{_asset('page.css')}{style}</style></head><body>"
        f'<nav><div>{links}</div><button id="theme" type="button" title="light or dark">◐</button></nav>'
        f'<header><p class="lead">{text(lead)}</p><h1>{typeset(title, text)}</h1>{head}</header><main>{bodies}</main>'
        "<noscript><p class='missing'>Charts, tables and pictures of this page need JavaScript.</p></noscript>"
        f'<script type="application/json" id="data">{packed}</script>'
        f"<script>{_plotly()}</script><script>{script}</script></body></html>\n"
    )


def _digest(script: str) -> str:
    """Return a script as a page's policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _asset(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).replace("</script", "<\\/script")
