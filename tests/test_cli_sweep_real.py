"""``dupl sweep`` with trainings of its own on photos: nothing reads the report split before ``--confirm``."""

import csv
import re
from pathlib import Path

import pytest
from PIL import Image

from dupl.cli import main
from dupl.config import catalogue
from dupl.data import Toy
from dupl.registry import DATASETS
from dupl.runs.store import RunStore

SPY = """
import os, sys
folder, log = os.environ["SPY_FOLDER"], os.environ["SPY_LOG"]

def hook(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], (str, bytes)):
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if path.startswith(folder):
            file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, f"{os.path.relpath(path, folder)}\\n".encode())
            os.close(file)

sys.addaudithook(hook)
"""
RECIPE = """
_base_ = [{tiny!r}]
data = dict(
    train=dict(_delete_=True, type="TaggedFolder", root="train"),
    val=dict(_delete_=True, type="TaggedFolder", root="val"),
)
schedule = dict(iterations=4)
evaluation = dict(interval=2, gallery=2)
"""
SWEEP = '''
"""A search on photos."""

base = "mine.py"
goal = dict(metric="seg/best/mIoU")
space = {"model.threshold.final": dict(type="float", low=0.4, high=0.7)}
sampler = dict(type="random")
trials = 2
search = dict(count=5)
'''


def photos(folder: Path, split: str, count: int) -> set[str]:
    """Writes synthetic scenes as a tagged folder with masks; its photos' names."""
    scenes, rows = Toy(split=split, size=32, count=count), []
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for i, name in enumerate(scenes.names):
        Image.fromarray(scenes.image(i)).save(folder / "images" / f"{name}.png")
        Image.fromarray(scenes.mask(i)).save(folder / "masks" / f"{name}.png")
        rows.append(f"{name}.png,{','.join(str(int(tag)) for tag in scenes.tags(i))}")
    heads = ["image", *scenes.classes[1:]]
    (folder / "tags.csv").write_text("\n".join([",".join(heads), *rows]) + "\n")
    return set(scenes.names)


@pytest.fixture
def lab(tmp_path, tiny, monkeypatch):
    """A recipe on photos and a sweep of it; what a process that is started asks for of the report split is noted."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(RECIPE.format(tiny=tiny))
    Path("search.py").write_text(SWEEP.lstrip())
    Path("spy").mkdir()
    Path("spy/sitecustomize.py").write_text(SPY)
    for name, value in dict(PYTHONPATH="spy", SPY_FOLDER="val", SPY_LOG="seen").items():
        monkeypatch.setenv(name, str(tmp_path / value))
    return photos(Path("train"), "train", 20)


def judged(run) -> set[str]:
    """The images of a run's last evaluation."""
    with open(run.path / "evaluation" / "iter_000004" / "per_image.csv", newline="") as file:
        return {row["image"] for row in csv.DictReader(file)}


def test_the_report_split_is_touched_by_confirm_alone(lab, capsys):
    more = ["--jobs", "2", "--gpus", "none"]
    assert not Path("val").exists()
    assert main(["sweep", "search.py", *more]) == 0
    assert main(["report", "search.py", "--bootstraps", "0"]) == 0
    text = capsys.readouterr().out
    assert "2 trials: 2 complete" in text and "### Best trials" in text
    trials = RunStore("runs").runs()
    assert len(trials) == 2
    for run in trials:
        trained = set(DATASETS.build(catalogue.plain(run.config.data.train)).names)
        assert len(judged(run)) == 5 and trained | judged(run) == lab and not trained & judged(run)
    assert not Path("seen").exists()

    val = photos(Path("val"), "val", 6)
    assert main(["sweep", "search.py", "--confirm", "1", "--seeds", "0", *more]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^\| The starting point .*\n\| Trial 1: ", text, re.M)
    confirmed = [run for run in RunStore("runs").runs() if run.path not in {one.path for one in trials}]
    assert len(confirmed) == 2
    for run in confirmed:
        assert catalogue.plain(run.config.data.train) == dict(type="TaggedFolder", root="train")
        assert judged(run) == val
    seen = set(Path("seen").read_text().splitlines())
    assert seen >= {f"{kind}/{name}.png" for kind in ("images", "masks") for name in val} | {"tags.csv"}
