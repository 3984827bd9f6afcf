"""The tutorials: every command and every file of them, in order, shortened where training would take minutes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from dupl.cli import main

PAGES = sorted((Path(__file__).parents[1] / "docs" / "tutorials").glob("*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
SHORT = [
    "schedule.iterations=6",
    "schedule.warmup=1",
    "schedule.batch_size=2",
    "schedule.images_per_loss=2",
    "evaluation.interval=2",
    "evaluation.gallery=1",
    "model.segmentation.start=1",
    "model.patch_contrast.start=1",
    "model.noise_filter.start=2",
]
SCENES = ["data.train.count=8", "data.val.count=4"]
TRAINS = {"demo", "train", "ablate", "sweep"}
FOLLOWS = {"report", "figure"}  # of a plan or a sweep, whose runs have the overrides too
SMALL = [  # no test reaches the network, for weights; nor does it need a network of twelve blocks
    "model.network.backbone.pretrained=False",
    'model.network.backbone.options={"depth": 3}',
    "data.augment.crop=64",
    "evaluation.size=64",
]


def steps(page: Path) -> list[tuple[str, str]]:
    """The files ("file", text that begins with its name) and the commands ("run", command) of a page, in order."""
    found = []
    for language, text in FENCE.findall(page.read_text()):
        if language == "python":
            found.append(("file", text))
        elif not language:
            lines = [line for line in text.splitlines() if re.match(r"(dupl|python|export)\b", line)]
            found += [("run", line) for line in lines]
    return found


def shortened(command: list[str], page: str) -> list[str]:
    """A command with overrides that make training short; what only looks stays as it is."""
    name, rest = command[0], command[1:]
    if name not in TRAINS | FOLLOWS:
        return command
    if name in FOLLOWS and any(word.startswith("runs/") for word in rest):
        return command
    changes = [*SHORT, "model.consistency.start=2", *(SMALL if page == "own-photos" else SCENES)]
    if name == "sweep":
        rest = [*rest, "--trials", "4" if "--continue" in rest else "3"]  # the last one given counts
    return [name, *rest, "--set", *changes]


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "index"], ids=lambda page: page.stem)
def test_it_runs_as_it_is_written(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    ran = 0
    for kind, text in steps(page):
        if kind == "file":
            name = re.match(r"# (\S+\.py)\n", text)
            assert name, f"{page.name}: the first line of a file is its name"
            (tmp_path / name[1]).write_text(text)
            continue
        words = shlex.split(text, comments=True)
        if words[0] == "export":
            monkeypatch.setenv(*words[1].split("=", 1))
        elif words[0] == "python":
            subprocess.run([sys.executable, *words[1:]], check=True, timeout=600)
        else:
            command = shortened(words[1:], page.stem)
            if command[0] == "figure" and command[1] == "4":
                assert main(command) in (0, 2), text  # six iterations may leave no image with enough losses
            else:
                assert main(command) == 0, f"{text}: {capsys.readouterr().err}"
        ran += 1
    assert ran >= 3


def test_there_is_a_page_for_each_wish():
    names = {page.stem for page in PAGES}
    assert names == {"index", "see-it-work", "own-photos", "reproduce-a-table", "own-component", "search"}
