"""Names on a page are text; the page loads nothing from elsewhere and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
from pathlib import Path

import pytest

from dupl.report.pages.dashboard import write
from dupl.report.pages.html import environment, link, render

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


class Page(html.parser.HTMLParser):
    """Tags, their attributes, the scripts and the policy of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags, self.scripts, self.handlers, self.links, self.policy = [], [], [], [], ""
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        self.handlers += [name for name in values if name.startswith("on")]
        self.links += [values[name] for name in ("href", "src") if values.get(name)]
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"]
        self.inside = tag == "script" and values.get("type") != "application/json"
        if self.inside:
            self.scripts.append("")

    def handle_data(self, data):
        if self.inside:
            self.scripts[-1] += data

    def handle_endtag(self, tag):
        self.inside = False


PAGE = """{% extends "base.html" %}
{% from "parts.html" import card, facts, folded, missing, section, sortable, tiles %}
{% from "table.html" import plain %}
{% block main %}
{% call section(evil, evil) %}
{{ card({"key": evil, "title": evil, "caption": evil}) }}
{{ tiles([(evil, evil, evil)]) }}
{{ facts([(evil, evil), ("code", evil)], code=["code"]) }}
{{ folded(evil, evil) }}
{{ missing(evil) }}
{{ sortable(evil, evil) }}
{{ plain([evil], [[evil, evil]]) }}
{% endcall %}
{% endblock %}
"""


@pytest.fixture(scope="module")
def page():
    """A page of every part, with names made to break out of where they stand."""
    data = {"plots": {EVIL: {}}, "tables": {"a": {"heads": [EVIL], "rows": [[{"text": EVIL, "value": EVIL}]]}}}
    return Page(render(environment().from_string(PAGE), EVIL, data, sections={EVIL: EVIL}, evil=EVIL))


def test_names_are_text(page):
    assert page.tags.count("script") == 3 and "img" not in page.tags
    assert page.handlers == []


def test_the_policy_knows_the_pages_own_scripts_and_nothing_else(page):
    rules = dict(rule.strip().split(" ", 1) for rule in page.policy.split(";"))
    assert rules["default-src"] == "'none'" and rules["base-uri"] == "'none'" and rules["form-action"] == "'none'"
    assert rules["img-src"] == "data: blob:"
    own = {f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in page.scripts}
    assert set(rules["script-src"].split()) == own and len(own) == 2
    assert not any("\r" in script for script in page.scripts), "a browser would hash another text"


@pytest.mark.parametrize("name", ["javascript:alert(1)", "data:text,x", "//host", "a#b", "a?b", "a%2e", '"><b>', "ü n"])
def test_an_address_is_a_path_whatever_the_folder_is_called(tmp_path, name):
    address = link(tmp_path / name / "report.html", tmp_path)
    assert re.fullmatch(r"[A-Za-z0-9_./%~-]+", address)
    assert address.endswith("/report.html") and not address.startswith("/")


def test_a_run_folder_called_like_a_script(tmp_path):
    run = tmp_path / "javascript:alert(1)"
    run.mkdir()
    status = dict(
        state="finished", fingerprint=EVIL, command=["dupl", "train", EVIL], seed=1, iteration=1, created=EVIL
    )
    (run / "status.json").write_text(json.dumps(status))
    (run / "config.py").write_text(f"model = dict(name={EVIL!r})\n")
    (run / "report.html").write_text("")
    text = Path(write([run], [{"name": "a", "differences": True}], tmp_path / "page.html")).read_text()
    page = Page(text)
    assert page.tags.count("script") == 3 and "img" not in page.tags and page.handlers == []
    found = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])
    assert found["tables"]["runs"]["rows"][0][0]["link"] == "javascript%3Aalert%281%29/report.html"
