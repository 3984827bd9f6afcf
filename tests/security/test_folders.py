"""A run's folder from elsewhere, each of its files replaced by something strange: a page, or one clear line."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from dupl.errors import UserError
from dupl.report.pages.run import write
from dupl.runs.store import RunStore

STRANGE = ["", "null", "[[1]]", '{"iter": "a"}', "[" * 100_000]
INSIDE = {
    "status.json": ["iteration", "iterations", "seconds", "command", "versions", "fingerprint", "seed", "state", "pid"],
    "evaluation/iter_000024/metrics.json": ["metrics", "iter", "seconds", "data", "protocol", "size"],
    "gallery/iter_000024.json": ["iter", "cell", "columns", "images", "legend", "split", "seconds"],
}
FILES = [
    *INSIDE,
    *("config.py", "scalars.jsonl", "git.diff"),
    *(f"evaluation/iter_000024/{name}.csv" for name in ("per_class", "confusion", "per_image")),
    "gallery/iter_000024.webp",
]


@pytest.fixture(scope="module")
def copy(trained, tmp_path_factory):
    """A run's last evaluation, with one image in its gallery; files changed by a test are put back."""
    folder = tmp_path_factory.mktemp("theirs") / "run"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("*.pth", "iter_000008*", "iter_000016*"))
    gallery = folder / "gallery" / "iter_000024.json"
    facts = json.loads(gallery.read_text())
    gallery.write_text(json.dumps({**facts, "images": facts["images"][:1]}))
    rows = (folder / "scalars.jsonl").read_text().splitlines(keepends=True)
    (folder / "scalars.jsonl").write_text("".join(rows[-2:]))
    return folder


@pytest.fixture(autouse=True)
def no_plotly(monkeypatch):
    """The pages are made, four megabytes of script aside."""
    monkeypatch.setattr("dupl.report.pages.html.plotly_script", str)


def look(folder: Path) -> None:
    """What reads folders; anything but a clear error fails the test."""
    try:
        assert write(folder, folder.parent / "page.html").read_text("utf-8").startswith("<!doctype html>")
    except UserError as error:
        assert "\n" not in str(error)
    store = RunStore(folder.parent)
    store.frame()
    store.counts()
    store.per_image()
    for _, reason in store.skipped:
        assert "\n" not in reason


def replaced(folder: Path, name: str, content: bytes) -> None:
    """Look at the folder while a file holds something else."""
    file = folder / name
    before = file.read_bytes() if file.exists() else None
    file.write_bytes(content)
    try:
        look(folder)
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_bytes(before)


@pytest.mark.parametrize("name", FILES)
def test_a_file_replaced(copy, name):
    for content in STRANGE:
        replaced(copy, name, content.encode())


@pytest.mark.parametrize("name", INSIDE)
def test_a_value_replaced(copy, name):
    whole = json.loads((copy / name).read_text())
    for key in INSIDE[name]:
        for value in (None, "a", "\ud800", 10**400, [{"a": 1}], {"\ud800": "\ud800"}, [float("nan")], float("inf")):
            replaced(copy, name, json.dumps({**whole, key: value}).encode())


@pytest.mark.parametrize("changes", [dict(low=9.0, high=1.0), dict(variance=[0.0, 1e-3]), dict(variance=[1e-3, -1.0])])
def test_losses_that_cannot_be(copy, changes):
    name = "gallery/iter_000024.json"
    whole = json.loads((copy / name).read_text())
    for image in whole["images"]:
        image["losses"] = [{**one, "fitted": True, **changes} for one in image["losses"]]
    assert any(image["losses"] for image in whole["images"])
    replaced(copy, name, json.dumps(whole).encode())


def test_losses_that_are_none(copy):
    name = "gallery/iter_000024.json"
    whole = json.loads((copy / name).read_text())
    for nothing in (0, None, "", 1, "a", {"a": 1}):
        replaced(copy, name, json.dumps({**whole, "images": [{**whole["images"][0], "losses": nothing}]}).encode())


def test_scalars_replaced(copy):
    for line in (
        '{"iter": 1, "loss": "a"}',
        '{"loss": 1}',
        '{"iter": null}',
        '{"iter": 1, "a/b/c/d": 1}',
        '{"iter": [1]}',
        json.dumps({"iter": 10**400, "loss": 1.0}),
        json.dumps({"iter": 1, "loss": 10**400, "seg/1/mIoU": -(10**400)}),
        json.dumps({"iter": 1, "pixels/supervised": 1e308, "noise/1/share": 1e308}),  # shown in percent
        json.dumps({"iter": 1, "loss\ud800": 1.0, "quality/\ud800": 2.0}),
    ):
        replaced(copy, "scalars.jsonl", f"{line}\n".encode())


@pytest.mark.parametrize("table", ["confusion.csv", "per_image.csv", "per_class.csv"])
def test_tables_damaged(copy, table):
    file = next(copy.glob(f"evaluation/*/{table}"))
    whole = file.read_bytes()
    first, rest = whole.split(b"\n", 1)
    number = rest.split(b"\n", 1)[0].rsplit(b",", 1)[1].strip()
    for content in (
        whole.replace(b",", b"\r", 3),  # a line end within a row
        first + b"\n" + rest.replace(number, b"9" * 30, 1),  # beyond 64 bits
        first + b"\n" + rest.replace(number, b"9" * 400, 1),
        whole.replace(b",", b"\0", 1),
        first + b"\n" + b'"' + rest,  # a quote that never ends
    ):
        replaced(copy, str(file.relative_to(copy)), content)


@pytest.mark.parametrize("name", [*FILES, "data.json"])
def test_a_named_pipe_is_not_waited_for(copy, name):
    def late(*_):
        raise AssertionError(f"{name} is waited for")

    file, before = copy / name, signal.signal(signal.SIGALRM, late)
    whole = file.read_bytes() if file.exists() else None
    file.unlink(missing_ok=True)
    os.mkfifo(file)
    signal.alarm(60)
    try:
        look(copy)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        file.unlink()
        if whole is not None:
            file.write_bytes(whole)
