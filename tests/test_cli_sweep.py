"""``dupl sweep``: what it says beforehand, refuses, finds, and confirms."""

import importlib.util
import json
import re
from functools import partial
from pathlib import Path

import pytest

from dupl.cli import build_parser, main
from dupl.execute import job
from dupl.plans import plan, sweep

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
HELPERS = Path(__file__).parent / "plans" / "sweep" / "conftest.py"


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """The toy lab of the sweeps' tests; its trainings are toys."""
    spec = importlib.util.spec_from_file_location("sweep_helpers", HELPERS)
    helpers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(helpers)
    import sweep_drive

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "train_command", sweep_drive.toy_command)
    for module in (plan, sweep):  # the recipes of the toy are of no method
        monkeypatch.setattr(module, "load", partial(module.load, schema=None))
    return helpers.Lab(tmp_path)


def said(capsys, *words: str, code: int = 0) -> str:
    """What a command prints; its mistakes, where it is to fail."""
    assert main(["sweep", *words]) == code
    told = capsys.readouterr()
    return told.err if code else told.out


class TestBeforehand:
    def test_help_has_examples_that_parse(self, capsys):
        with pytest.raises(SystemExit):
            main(["sweep", "--help"])
        examples = re.findall(r"^  dupl (sweep .*?)(?: {3,}.*)?$", capsys.readouterr().out, re.M)
        assert len(examples) == 7
        for example in examples:
            build_parser().parse_args(example.split())

    def test_dry_run_shows_everything_and_does_nothing(self, capsys, lab):
        text = said(capsys, lab.sweep(constraints=["toy.x <= 0.9"], pruner=dict(type="median")), "--dry-run")
        for part in (
            "maximize seg/best/mIoU",
            "toy.x: 0 to 1",
            "    toy.x <= 0.9",
            "sampler: random (seed=0)",
            "n_startup_trials=5",
            "'held': True",
            "data.val as it is",
            "toy.x=0.5, toy.y=0.5  to run",
            "4 trials of 3 evaluations each: hours unknown",
        ):
            assert part in text
        assert not lab.root.exists()

    @pytest.mark.parametrize("name", ["demo", "dta_anf", "weights", "backbone_lr", "animals_values"])
    def test_dry_run_of_the_sweeps_that_come_with_it(self, capsys, tmp_path, name):
        assert "trial 0" in said(capsys, name, "--dry-run", "--root", str(tmp_path))

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--trials", "0"], "--trials 0: give at least 1"),
            (["--storage", "mysql://a/b"], "write sqlite:///FILE"),
            (["--lease", "1"], "at least 2 seconds"),
            (["--seeds", "1"], "belongs to --confirm"),
            (["--trials", "4", "--confirm", "1"], "give one of them"),
            (["--set", "toy.q=1"], "has no 'q'"),
            (["--confirm", "1"], "has no study"),
        ],
    )
    def test_mistakes_in_one_line(self, capsys, lab, words, message):
        text = said(capsys, lab.sweep(), *words, code=2)
        assert message in text and len(text.strip().splitlines()) == 1

    def test_a_search_split_without_masks(self, capsys, lab):
        for split in ("train", "val"):
            (lab.folder / split / "images").mkdir(parents=True)
            (lab.folder / split / "tags.csv").write_text("image,tags\na.jpg,cat\nb.jpg,dog\n")
            for name in ("a", "b"):
                (lab.folder / split / "images" / f"{name}.jpg").touch()
        data = {f"data.{split}": dict(type="TaggedFolder", root=split) for split in ("train", "val")}
        file = lab.sweep(set=data, search=dict(count=1))
        assert "the images of the search split have no masks" in said(capsys, file, code=2)
        assert not list(lab.root.glob("*/status.json"))

    def test_an_unknown_sweep(self, capsys):
        assert "did you mean demo" in said(capsys, "demoo", code=2)


class TestSearch:
    def test_search_goes_on_and_is_confirmed(self, capsys, lab):
        file = lab.sweep(start_from=[{}, {"toy.x": 0.3, "toy.y": 0.6}])
        text = said(capsys, file, "--trials", "2", "--jobs", "2")
        first = text.splitlines()
        assert first[0] == "2 trials: 2 complete"
        assert first[1].startswith("trial 1: seg/best/mIoU 78.75  toy.x=0.3, toy.y=0.6")
        assert "resume=True (--continue) goes on" in said(capsys, file, code=2)
        assert said(capsys, file, "--trials", "2", "--continue") == text
        assert len(list(Path("runs/.sweeps").glob("*.db"))) == 1

        table = said(capsys, file, "--confirm", "3", "--seeds", "0", "1", "--jobs", "2")
        assert "The starting point" in table and "Trial 1: toy.x=0.3, toy.y=0.6" in table
        assert re.search(r"78\.[78]", table) and "74.3" in table
        runs = [Path(path).parent for path in Path("runs").glob("*/status.json")]
        data = [json.loads((run / "evaluation/iter_000006/metrics.json").read_text())["data"] for run in runs]
        report = [one for one in data if one["type"] == "Toy"]
        assert (
            len(report) == 4 and len(data) == 6
        )  # 2 points x 2 seeds on the report split; 2 trials on the search split
        assert set(lab.times().values()) == {1}

        (plan,) = Path("runs/.sweeps").glob("*-confirm.py")
        before = plan.read_text()
        again = said(capsys, file, "--confirm", "1")  # the points are those of then, and so are the runs
        rows = [[line for line in text.splitlines() if line.startswith("|")] for text in (table, again)]
        assert len(rows[0]) > 2 and rows[0] == rows[1]
        assert plan.read_text() == before

    def test_the_points_of_a_front_are_confirmed(self, capsys, lab):
        goals = [dict(metric="seg/best/mIoU"), dict(metric="gpu_hours")]
        starts = [{}, {"toy.x": 0.3, "toy.y": 0.6}, {"toy.x": 0.9}]  # of the same time: the second beats them
        file = lab.sweep(goal=goals, sampler=dict(type="NSGA-II"), start_from=starts)
        said(capsys, file, "--trials", "3", "--jobs", "2")
        table = said(capsys, file, "--confirm", "2", "--seeds", "0", "--jobs", "2")
        rows = [line for line in table.partition("Changes")[0].splitlines() if line.startswith("| T")]
        assert [row.split(":")[0] for row in rows] == ["| The starting point | 74.3 (1) |  |", "| Trial 1"]
        assert "gpu_hours" not in table

    def test_too_many_failures_end_it(self, capsys, lab):
        file = lab.sweep(toy=dict(broken_from=0.0))
        text = said(capsys, file, "--trials", "4", "--retries", "0", code=1)
        assert "2 trials failed, more than max_failed = 0.3 allows" in text
