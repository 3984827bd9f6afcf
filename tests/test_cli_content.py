"""A plan whose photos, tags, masks or places change between its commands."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from dupl.cli import main
from dupl.runs.run import Run
from dupl.runs.store import RunStore

PLAN = '''"""Two rows."""

base = "{recipe}"
seeds = [0]
columns = dict(seg=dict(label="Seg", metric="seg/best/mIoU"))
rows = dict(
    one=dict(label="one"),
    two=dict(label="two", set={{"model.threshold.final": 0.5}}),
)
'''
ONE_JOB = ("--jobs", "1", "--gpus", "none")


def recipe_of(tiny, folder):
    data = "dict(type='TaggedFolder', root='data/set', split={!r}, _delete_=True)"
    (folder / "mine.py").write_text(
        f'"""On photos."""\n_base_ = [{tiny!r}]\n'
        f"data = dict(train={data.format('train')}, val={data.format('val')})\n"
        "schedule = dict(iterations=4, warmup=1)\n"
        "evaluation = dict(interval=4)\n"
    )
    (folder / "plan.py").write_text(PLAN.format(recipe="mine.py"))


@pytest.fixture(scope="module")
def lab(tiny, paint, tmp_path_factory):
    """A folder with a plan, trained on photos that the command line named."""
    home = tmp_path_factory.mktemp("plan")
    recipe_of(tiny, home)
    paint(home / "photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert main(["ablate", "plan.py", *ONE_JOB, "--set", *places("photos")]) == 0
    return home


@pytest.fixture
def copy(lab, tmp_path, monkeypatch):
    shutil.copytree(lab, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def places(root):
    return [f"data.{split}.root={root}" for split in ("train", "val")]


def ids():
    return {Run(run.path).status.fingerprint for run in RunStore("runs").runs()}


def table(capsys, *words):
    assert main(["report", "plan.py", "--format", "csv", *words]) == 0
    out, err = capsys.readouterr()
    found = csv.DictReader(out.splitlines())
    return [(line["row"], line["mean"]) for line in found if line["mean"]], err


def test_the_set_of_the_call_is_remembered(lab, capsys, monkeypatch):
    monkeypatch.chdir(lab)
    rows, err = table(capsys)
    assert [row for row, _ in rows] == ["one", "two"]
    assert re.search(r"^as dupl ablate was called at 20.*: --set data.train.root=photos data.val.root=", err, re.M)
    assert main(["runs", "--plan", "plan.py", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 2
    assert main(["board", "--plan", "plan.py", "--static", "page.html"]) == 0


def test_other_calls_are_listed_and_can_be_taken(copy, capsys):
    assert main(["ablate", "plan.py", *ONE_JOB, "--rows", "one", "--set", *places("photos"), "runtime.workers=1"]) == 0
    capsys.readouterr()
    _, err = table(capsys)
    assert "runtime.workers=1" in err.splitlines()[0]
    assert re.search(r"other calls, by --call N: 2: --set data.train.root=\S+ data.val.root=\S+ \(20", err)
    rows, err = table(capsys, "--call", "2")
    assert len(rows) == 2 and "other calls, by --call N: 1: " in err
    assert main(["report", "plan.py", "--call", "3"]) == 2
    assert "there is no call 3 of plan in runs: it has 2" in capsys.readouterr().err


def test_the_same_photos_elsewhere_are_the_same_runs(copy, capsys, monkeypatch):
    shutil.move(copy / "photos", copy / "elsewhere" / "set")
    monkeypatch.setenv("DUPL_DATA", str(copy / "elsewhere"))
    assert main(["ablate", "plan.py", *ONE_JOB]) == 0
    assert "2 runs: 2 finished (2 were finished before)" in capsys.readouterr().out


def test_a_corrected_tag_is_other_runs_and_no_table_mixes_them(copy, capsys):
    before = ids()
    tags = copy / "photos" / "tags.csv"
    tags.write_text(tags.read_text().replace("0.png,cat", "0.png,cat dog"))
    assert main(["ablate", "plan.py", *ONE_JOB, "--rows", "one", "--set", *places("photos")]) == 0
    assert "1 run: 1 finished\n" in capsys.readouterr().out
    (new,) = ids() - before
    assert {new.split("-")[0]} < {name.split("-")[0] for name in before}
    rows, _ = table(capsys)
    assert [row for row, _ in rows] == ["one"], "row two has no run on these tags"
    old = next(iter(before)).split("-")[1]
    assert main(["report", "plan.py"]) == 0
    assert f"1 run of this table on other training data ({old}): --data {old} shows them" in capsys.readouterr().out
    assert main(["report", "plan.py", "--data", old]) == 0
    assert re.search(rf"command.*dupl report plan.py .*--data {old}", capsys.readouterr().out)
    rows, _ = table(capsys, "--data", old)
    assert [row for row, _ in rows] == ["one", "two"]
    shutil.rmtree("photos")
    assert main(["report", "plan.py"]) == 2
    error = capsys.readouterr().err
    assert re.search(rf"on different training data, .*{old}.*there is no folder .*name one by --data", error)
    rows, _ = table(capsys, "--data", old)
    assert [row for row, _ in rows] == ["one", "two"]
    assert main(["report", "plan.py", "--data", "00000000"]) == 2


def test_without_the_photos_the_store_says_which_runs_they_are(copy, capsys):
    shutil.rmtree("photos")
    assert len(table(capsys)[0]) == 2
    assert main(["show", "mine.py"]) == 0
    assert re.search(
        r"^fingerprint  [0-9a-f]{12}\n +of the config alone, because there is no", capsys.readouterr().out, re.M
    )


def test_corrected_masks_are_evaluated_again_without_training(copy, capsys):
    before = {run.path: run.status.started for run in RunStore("runs").runs()}
    mask = copy / "photos" / "masks" / "4.png"
    Image.fromarray(np.roll(np.array(Image.open(mask)), 8, 0)).save(mask)
    first = table(capsys)[0]
    assert main(["report", "plan.py"]) == 0
    out = capsys.readouterr().out
    assert re.search(
        r"2 runs of this table: evaluated on other validation data \([0-9a-f]{8}\) than those that are", out
    )
    assert re.search(
        r"here now \([0-9a-f]{8}\); dupl ablate plan.py --set data.train.root=\S+ \S+ evaluates again", out
    )
    assert main(["eval", str(next(iter(before))), "--checkpoint", "last", "--set", *places("photos")]) == 0
    capsys.readouterr()
    assert main(["report", "plan.py"]) == 0, "the data are here: the one that was evaluated on them is shown"
    assert "evaluated on other data (" in capsys.readouterr().out
    assert main(["ablate", "plan.py", *ONE_JOB, "--dry-run", "--set", *places("photos")]) == 0
    out = capsys.readouterr().out
    assert "trained, to be evaluated at 4 of 4, time remaining 0.00 h" in out and "similar run" not in out
    assert main(["ablate", "plan.py", *ONE_JOB, "--set", *places("photos")]) == 0
    assert {run.path: run.status.started for run in RunStore("runs").runs()} == before
    capsys.readouterr()
    assert main(["report", "plan.py"]) == 0
    assert "evaluated on other" not in capsys.readouterr().out
    last = table(capsys)[0]
    assert len(last) == 2 and last != first


def test_mixed_masks_are_refused_where_they_are_not_here(copy, capsys):
    mask = copy / "photos" / "masks" / "4.png"
    Image.fromarray(np.roll(np.array(Image.open(mask)), 8, 0)).save(mask)
    run = RunStore("runs").runs()[0]
    assert main(["eval", str(run.path), "--checkpoint", "last", "--set", *places("photos")]) == 0
    shutil.rmtree("photos")
    capsys.readouterr()
    assert main(["report", "plan.py"]) == 2
    error = capsys.readouterr().err
    found = re.findall(r"([0-9a-f]{8}) \(1 run\)", error)
    assert "evaluated on different data of val by train" in error and len(found) == 2
    for digest in found:
        assert len(table(capsys, "--data", digest)[0]) >= 1


def test_the_command_of_an_empty_table_is_that_of_its_call(copy, capsys):
    shutil.rmtree("photos")
    for run in RunStore("runs").runs():
        shutil.rmtree(run.path)
    assert main(["report", "plan.py", "--rows", "one", "--seeds", "4"]) == 0
    line = (
        r"no run of this table has finished in runs: dupl ablate plan.py --rows one --seeds 4 --set data.train.root=\S+"
    )
    assert re.search(line + r" data.val.root=\S+ trains them", capsys.readouterr().err)
