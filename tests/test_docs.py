"""The written pages: their commands are accepted, and the pages, sections and files that they name exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dupl.cli import build_parser

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("*/README.md")),
]
NAMED = re.compile(r"`((?:tests|dupl|benchmarks|analysis|docs|experiments|ablations|sweeps)/[\w/.-]+\.\w+)`")


def commands(text: str) -> list[str]:
    """The `dupl` commands in the code blocks of a page, without their comments."""
    blocks = [code for language, code in re.findall(r"^```([^\n]*)\n(.*?)^```", text, re.M | re.S) if not language]
    lines = [line for block in blocks for line in block.splitlines()]
    lines += [line.strip() for line in re.findall(r"^    dupl .*$", text, re.M)]
    found = [re.search(r"(?:^|-m |&& )(dupl .*)", line) for line in lines]
    return [match[1] for match in found if match]


def anchors(page: Path) -> set[str]:
    """The links to the sections of a page."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.fixture(params=PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def page(request) -> Path:
    return request.param


def test_commands_are_accepted(page):
    for command in commands(page.read_text()):
        build_parser().parse_args(shlex.split(command, comments=True)[1:])


def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        name, _, section = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not section or section in anchors(target), link


def test_named_files_exist(page):
    assert [name for name in NAMED.findall(page.read_text()) if not (ROOT / name).exists()] == []


def test_there_are_commands_to_check():
    assert commands((ROOT / "README.md").read_text()) == ["dupl demo"]
    assert len(commands((ROOT / "docs" / "tutorials" / "index.md").read_text())) > 15
