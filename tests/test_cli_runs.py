"""``dupl runs``: what it lists, chooses, removes and refuses to remove."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from dupl.cli import build_parser, main
from dupl.cli.runs import span
from dupl.config import catalogue
from dupl.plans import plan
from dupl.runs.planned import record
from dupl.runs.run import Run

NOBODY = 2**22 + 1


def make(root, name, *, hours=1.0, size=0, **status):
    """A finished run that ended some hours ago."""
    run = Run(root / name)
    run.write_text("config.py", "a = 1\n")
    run.write_text("weights.pth", "x" * size)
    ended = (datetime.now(timezone.utc) - timedelta(hours=hours)).isoformat(timespec="seconds")
    facts = {"state": "finished", "fingerprint": f"print-{name}", "command": ["dupl"], "seed": 0, "created": ended}
    facts |= {"ended": ended, "seconds": 3700.0, "iteration": 100, "iterations": 100}
    facts |= {"host": socket.gethostname(), "pid": NOBODY, "commit": "0123456789", "dirty": True}
    run.write_json("status.json", facts | status)
    return run


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A store with a run of each kind; answers to questions are none."""
    monkeypatch.chdir(tmp_path)
    store = tmp_path / "runs"
    make(store, "done", size=5000)
    make(store, "old", hours=500)
    make(store, "broken", state="failed", error="L_seg is nan")
    make(store, "dead", state="running", ended=None, iteration=40)
    make(store, "live", state="running", ended=None, pid=os.getpid())
    return store


def answering(monkeypatch, *answers):
    """A person at a terminal; the questions they were asked."""
    asked, left = [], list(answers)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))

    def answer(self, question, **_):
        asked.append(question)
        if not left:
            raise EOFError
        return left.pop(0)

    monkeypatch.setattr("rich.console.Console.input", answer)
    return asked


def listed(capsys, *arguments):
    assert main(["runs", *map(str, arguments), "--json"]) == 0
    return {row["run"].rpartition("/")[2]: row for row in json.loads(capsys.readouterr().out)["runs"]}


def there(root):
    return {path.name for path in root.iterdir()}


def told(capsys, *argv):
    assert main(["runs", *map(str, argv)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    return line.removeprefix("dupl: ")


def evaluated(run, value, **more):
    """An evaluation in training of the better student."""
    facts = more | {"protocol": "squashed, no CRF", "iter": 100, "data": {"split": "val"}, "seconds": 1.0}
    run.write_json("evaluation/iter_000100/metrics.json", {**facts, "metrics": {"seg/best/mIoU": value}})


class TestRowsAndMetric:
    def test_rows_and_metric_are_listed_filtered_and_sorted(self, root, capsys):
        record(root, "print-done", "table4", "L_reg")
        record(root, "print-done", "table4", "L_reg")
        record(root, "print-old", "table4", "full")
        evaluated(Run(root / "done"), 40.25)
        judged = {"images": 4, "of_images": 6, "classes": 3, "of_classes": 5}
        evaluated(Run(root / "old"), 61.0, judged=judged)
        assert main(["runs", "--sort", "metric"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines[1:3]] == ["old", "done"]
        assert "table4: full" in lines[1] and " 61.0 " in lines[1] and " 40.2 " in lines[2]
        assert lines[0].endswith("images, classes judged")
        assert lines[1].endswith(" 4/6, 3/5") and lines[2].endswith(" –")
        assert re.search(r" – +– +", lines[3])
        found = listed(capsys, "--rows", "L_reg")
        assert list(found) == ["done"]
        assert found["done"]["plans"] == [{"plan": "table4", "row": "L_reg"}]
        assert found["done"]["metric"] == {"seg/best/mIoU": 40.25}
        assert listed(capsys, "--metric", "cam/1/mIoU")["done"]["metric"] == {"cam/1/mIoU": None}
        assert listed(capsys, "--rows", "none") == {}

    def test_a_run_evaluated_on_other_data_is_marked(self, root, capsys):
        for name, of, read, made in (("old", "1", "aaaa", "2024-01-01"), ("done", "2", "bbbb", "2024-02-01")):
            folder = root / f"toy-{of * 12}"
            (root / name).rename(folder)
            evaluated(Run(folder), 40.0, read=read, made=f"{made}T00:00:00+00:00")
        assert main(["runs"]) == 0
        out = capsys.readouterr().out
        assert re.search(r"^toy-1{12} .* –, other data$", out, re.M) and re.search(r"^toy-2{12} .* –$", out, re.M)
        assert "other data: evaluated on other data than the newest run of the recipe" in out

    def test_a_corrupt_record_is_none(self, root, capsys):
        record(root, "print-done", "p", "r")
        (root / ".plans" / "print-done.rows.json").write_text("[3")
        assert listed(capsys)["done"]["plans"] == []


class TestListing:
    def test_the_table(self, root, capsys):
        assert main(["runs"]) == 0
        out, err = capsys.readouterr()
        rows = {line.split()[0]: line for line in out.splitlines() if line and not line.startswith("5 runs")}
        assert re.search(r"finished +100/100 +0 +1:01:40 +60 min +5\.\d kB +0123456\+", rows["done"])
        assert "2 w" in rows["old"]
        assert "interrupted (died)" in rows["dead"]
        assert "40/100" in rows["dead"]
        assert "running" in rows["live"]
        assert re.search(r"^5 runs, \d+\.\d kB: 2 finished", out, re.M)
        assert err == ""

    def test_piped_it_is_one_line_for_each(self, root, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "40")
        name = f"{'a-long-recipe/' * 3}{'x' * 150}"
        make(root, name)
        assert main(["runs"]) == 0
        rows = capsys.readouterr().out.splitlines()
        assert len(rows) == 1 + 6 + 2  # heads, runs, what they come to
        (line,) = [row for row in rows if row.startswith(name)]
        assert re.search(r" finished +100/100 .* 0123456\+ +–$", line.rstrip())

    def test_json_says_all_that_is_known(self, root, capsys):
        rows = listed(capsys)
        assert rows.keys() == {"done", "old", "broken", "dead", "live"}
        done = rows["done"]
        assert done["bytes"] == sum(p.stat().st_size for p in (root / "done").iterdir())
        assert (done["fingerprint"], done["commit"], done["dirty"]) == ("print-done", "0123456789", True)
        assert rows["broken"]["error"] == "L_seg is nan"
        assert (rows["dead"]["state"], rows["dead"]["died"]) == ("interrupted", True)

    def test_what_is_damaged_is_told(self, root, capsys):
        (root / "old" / "status.json").write_text("{")
        (root / "done" / "evaluation" / "iter_000100").mkdir(parents=True)
        (root / "done" / "evaluation" / "iter_000100" / "metrics.json").write_text("nothing")
        assert main(["runs"]) == 0
        out, err = capsys.readouterr()
        assert "4 runs" in out
        lines = err.splitlines()
        assert [line.startswith("skipped: runs/") for line in lines] == [True, True]
        assert main(["runs", "--json"]) == 0
        damaged = json.loads(capsys.readouterr().out)["damaged"]
        assert {row["path"] for row in damaged} == {"runs/old", "runs/done/evaluation/iter_000100"}

    def test_an_empty_store(self, tmp_path, capsys):
        assert main(["runs", "--root", str(tmp_path)]) == 0
        assert "no such runs" in capsys.readouterr().out
        assert listed(capsys, "--root", tmp_path) == {}

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(5, "now"), (119, "1 min"), (120, "2 min"), (7200, "2 h"), (86400 * 13, "13 d"), (86400 * 14, "2 w")],
    )
    def test_ages(self, seconds, text):
        assert span(seconds) == text

    def test_examples_parse(self, capsys):
        with pytest.raises(SystemExit):
            main(["runs", "--help"])
        examples = capsys.readouterr().out.partition("examples:\n")[2].splitlines()
        assert len(examples) > 3
        for example in examples:
            arguments = build_parser().parse_args(shlex.split(re.split(r"\s{3,}", example.strip())[0])[1:])
            assert arguments.run.__name__ == "run_runs"


class TestChoice:
    @pytest.mark.parametrize(
        ("arguments", "names"),
        [
            (["--state", "failed"], {"broken"}),
            (["--state", "interrupted", "running"], {"dead", "live"}),
            (["--older", "1d"], {"old"}),
            (["--newer", "90m", "--state", "finished"], {"done"}),
            (["--older", "2w", "--newer", "4w"], {"old"}),
            (["print-done", "runs/old"], {"done", "old"}),
            (["print-done", "--state", "failed"], set()),
        ],
    )
    def test_by_state_age_and_name(self, root, capsys, arguments, names):
        assert listed(capsys, *arguments).keys() == names

    def test_by_plan_with_seeds_beyond_the_plans(self, root, capsys):
        runs = plan.load("demo_table4").expand(seeds=[0, 99])
        make(root, "of-plan", fingerprint=runs[0].fingerprint)
        make(root, "of-seed", fingerprint=runs[-1].fingerprint, seed=99)
        assert listed(capsys, "--plan", "demo_table4").keys() == {"of-plan", "of-seed"}

    def test_by_plan_with_the_overrides_it_ran_with(self, root, capsys):
        base = catalogue.load(plan.load("demo_table4").base)
        changed = f"schedule.lr={base.schedule.lr * 2}"
        (run, *_) = plan.load("demo_table4").expand(sets={"schedule.lr": base.schedule.lr * 2})
        make(root, "of-plan", fingerprint=run.fingerprint)
        assert listed(capsys, "--plan", "demo_table4") == {}
        assert listed(capsys, "--plan", "demo_table4", "--set", changed).keys() == {"of-plan"}

    def test_mistakes(self, root, capsys, tmp_path):
        assert "no run print-dnoe" in told(capsys, "print-dnoe")
        assert "no folder" in told(capsys, "--root", tmp_path / "none")
        assert "demo_table4" in told(capsys, "--plan", "demo_tabel4")
        assert "--yes" in told(capsys, "--yes")
        with pytest.raises(SystemExit) as stop:
            main(["runs", "--older", "5 days"])
        assert stop.value.code == 2
        assert "write 30m, 12h, 7d or 2w" in capsys.readouterr().err


class TestRemoval:
    def test_it_asks_and_does_as_told(self, root, capsys, monkeypatch):
        asked = answering(monkeypatch, "n", "", "y")
        before = there(root)
        for _ in range(3):  # no, nothing, and then the terminal is closed
            assert there(root) == before
            assert main(["runs", "--state", "failed", "--rm"]) == 0
        assert there(root) == before - {"broken"}
        assert len(asked) == 3
        assert asked[0].startswith("remove 1 run, ")
        out, err = capsys.readouterr()
        assert "broken" in out  # it shows what would go
        assert err.count("nothing was removed") == 2

    def test_no_answer_is_no(self, root, capsys, monkeypatch):
        answering(monkeypatch)
        assert main(["runs", "--state", "failed", "--rm"]) == 0
        assert "broken" in there(root)

    def test_without_a_terminal_it_needs_a_yes(self, root, capsys, monkeypatch):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False))
        assert main(["runs", "--state", "failed", "--rm"]) == 2
        assert "--yes" in capsys.readouterr().err
        assert "broken" in there(root)
        assert main(["runs", "--state", "failed", "--rm", "--yes"]) == 0
        assert there(root) == {"done", "old", "dead", "live"}

    def test_what_is_at_work_is_kept_and_told(self, root, capsys):
        assert main(["runs", "--state", "running", "interrupted", "--rm", "--yes"]) == 1
        assert there(root) == {"done", "old", "broken", "live"}
        err = capsys.readouterr().err
        assert f"kept: runs/live: process {os.getpid()} is at work on it" in err
        assert "removed: 1 of 2" in err

    def test_nothing_outside_the_store(self, root, capsys, tmp_path):
        outside = make(tmp_path / "elsewhere", "mine")
        (root / "link").symlink_to(outside.path)
        assert main(["runs", "print-mine", "--rm", "--yes"]) == 1
        assert "outside" in capsys.readouterr().err
        assert (outside.path / "status.json").exists()
        assert main(["runs", "elsewhere/mine", "--root", "elsewhere/mine", "--rm", "--yes"]) == 1
        assert (outside.path / "status.json").exists()

    def test_everything_at_once_is_refused(self, root, capsys):
        assert "every run" in told(capsys, "--rm", "--yes")
        assert "choose one" in told(capsys, "print-done", "--rm", "--json")
        assert there(root) == {"done", "old", "broken", "dead", "live"}

    def test_no_run_to_remove(self, root, capsys):
        assert main(["runs", "--state", "created", "--rm", "--yes"]) == 0
        assert "no such runs" in capsys.readouterr().out


def test_words_of_a_status_steer_neither_table_nor_terminal(root, capsys):
    make(root, "odd[/x]", commit="[/a]\x1b[8m")
    make(root, "endless", seconds=1e300)
    (root / "round").symlink_to("round")
    assert main(["runs"]) == 0
    out, err = capsys.readouterr()
    assert "odd[/x]" in out and "[/a]" in out and "\x1b" not in out
    assert "endless: status.json is corrupt: seconds is 1e+300" in err
    assert "round: " in err
