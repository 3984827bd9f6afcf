"""What a release consists of: one version, its changelog and citation, templates that a code host accepts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dupl

yaml = pytest.importorskip("yaml", reason="PyYAML, which wandb needs, is not installed")
ROOT = Path(__file__).parents[1]


def headings() -> list[str]:
    """The versions of the changelog, the newest first."""
    return re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)


def test_the_version_is_one_of_the_changelog():
    version, newest = dupl.__version__, headings()[0]
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev0)?", version)
    assert newest == "Unreleased" if version.endswith(".dev0") else newest.startswith(f"{version} - ")


def test_the_changelog_goes_back_in_time():
    released = [re.fullmatch(r"(\d+)\.(\d+)\.(\d+) - (\d{4}-\d{2}-\d{2})", one) for one in headings()]
    known = [match for match in released if match is not None]
    assert len(known) == len(headings()) - ("Unreleased" in headings()) > 0
    numbers = [tuple(int(part) for part in match.groups()[:3]) for match in known]
    assert numbers == sorted(numbers, reverse=True)
    assert [match[4] for match in known] == sorted((match[4] for match in known), reverse=True)


def test_the_citation_names_the_newest_release_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    released = next(one for one in headings() if one != "Unreleased")
    assert f"{citation['version']} - {citation['date-released']}" == released
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["preferred-citation"]["title"].startswith(
        "DuPL: Dual Student with Trustworthy Progressive Learning"
    )
    assert citation["preferred-citation"]["year"] == 2024


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem
)
def test_issue_templates(path):
    form = yaml.safe_load(path.read_text())
    if path.stem == "config":
        assert form == {"blank_issues_enabled": True}
        return
    assert {"name", "description", "body"} <= form.keys()
    ids = [part["id"] for part in form["body"]]
    assert len(set(ids)) == len(ids) and all(part["attributes"]["label"] for part in form["body"])
