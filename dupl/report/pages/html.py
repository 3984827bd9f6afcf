"""Render pages from the Jinja templates in ``templates/``: each page is one HTML file that needs no network."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from dupl.report.symbols import typeset
from dupl.runs import layout

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

TEMPLATES = Path(__file__).parent / "templates"
# What a page may load: nothing from elsewhere, and no script but its own, whatever names stand on it.
POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


class Site:
    """Where a page stands: in a file of its own, beside the pages of runs. The live board serves its pages otherwise.

    Attributes:
        served: Addresses for the templates of a served page; None for a file, which holds all that it needs.
    """

    served: Served | None = None

    def run_page(self, run: Path, folder: Path) -> str | None:
        """Return the address of the page of a run, seen from a page in ``folder``; None where it has no page."""
        page = run / layout.PAGE
        return link(page, folder) if page.is_file() else None

    def sheet(self, run: Path, iteration: int) -> str | None:
        """Return the address of a contact sheet of a run; None where the page holds the picture itself."""
        return None


@dataclass(frozen=True)
class Served:
    """What a page names that the live board serves.

    Attributes:
        root: Address of the board, which ends with a slash.
        tag: Names this state of the page; the page asks for another state by it.
        nav: Address and heading of the board's own pages.
        live: Whether the page asks for news.
    """

    root: str
    tag: str
    nav: tuple[tuple[str, str], ...] = ()
    live: bool = True


FILE = Site()


class ChartCard(NamedTuple):
    """The place of a chart on a page.

    Attributes:
        key: Of the chart among the page's ``plots``.
        title: Plain text.
        caption: Plain text below the title; "" for none.
    """

    key: str
    title: str
    caption: str


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the Jinja environment of all pages: everything is escaped, and an undefined name is an error."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["symbols"] = symbols
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return made


def render(template: str | Template, title: str, data: Mapping[str, Any], site: Site = FILE, **values: Any) -> str:
    """Return a whole page as HTML.

    Args:
        template: Name of a file in ``templates/`` that extends ``base.html``, or such a template.
        title: Plain text.
        data: Plain values for the page's script: charts under ``plots``, tables that sort under ``tables``.
        site: Where the page stands; the policy of a served page is in the headers of its server.
        values: What else the template names.
    """
    scripts = [] if site.served else [plotly_script(), page_script()]
    return (
        environment()
        .get_or_select_template(template)
        .render(
            title=title,
            data=data,
            policy="" if site.served else f"{POLICY}; script-src {' '.join(map(_digest, scripts))}",
            scripts=[Markup(script) for script in scripts],
            served=site.served,
            **values,
        )
    )


def add_chart(data: dict[str, Any], key: str, figure: Figure, title: str, caption: str = "") -> ChartCard:
    """Store a chart in the data of a page and return its place for the template."""
    data["plots"][key] = figure.to_plotly_json()
    return ChartCard(key, title, caption)


def symbols(plain: Any) -> Markup:
    """Return plain text as HTML with the paper's symbols (L_dis, tau_h) typeset."""
    return Markup(typeset(plain, lambda text: str(escape(text))))


def link(target: Path, folder: Path) -> str:
    """Return the address of a file relative to a page's folder, quoted so that a browser takes it for nothing else."""
    return quote(Path(os.path.relpath(target, folder)).as_posix(), errors="surrogateescape")


def _digest(script: str) -> str:
    """Return a script's hash as the content-security policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def page_script() -> str:
    """Return the script of all pages."""
    return (TEMPLATES / "page.js").read_text(encoding="utf-8")


def plotly_script() -> str:
    """Return plotly's script, as it may stand within a page."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).replace("</script", "<\\/script")
