"""Manners of the command line: JSON of every listing, silence, and completion."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from dupl.cli import build_parser, main
from dupl.cli.common import print_json

FIXTURES = Path(__file__).parent / "fixtures"
STORE, PLAN = FIXTURES / "store", str(FIXTURES / "plan.py")


def listed(capsys, *argv: object, code: int = 0):
    """What a command prints as JSON; nothing else is printed."""
    assert main([*map(str, argv), "--json"]) == code
    said = capsys.readouterr()
    assert said.err.strip() == ""
    return json.loads(said.out)


def test_numbers_that_json_does_not_have_are_null(capsys):
    print_json({"metric": float("nan"), "more": [float("-inf"), 1.5]})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {"metric": None, "more": [None, 1.5]}


def commands() -> dict[str, argparse.ArgumentParser]:
    """Every command's parser, those of ``dupl data`` too."""
    found = {}

    def look(parser: argparse.ArgumentParser, prefix: str) -> None:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name, child in action.choices.items():
                    found[f"{prefix}{name}"] = child
                    look(child, f"{prefix}{name} ")

    look(build_parser(), "")
    return found


def test_show_lists_recipes_plans_and_sweeps(capsys):
    assert {"name", "about"} == set(listed(capsys, "show")[0])
    assert "table4_components" in [one["name"] for one in listed(capsys, "show", "--plan")]
    assert "dta_anf" in [one["name"] for one in listed(capsys, "show", "--sweep")]


def test_show_of_one(capsys):
    recipe = listed(capsys, "show", "demo/toy", "--set", "schedule.lr=0.5")
    assert recipe["values"]["schedule"]["lr"] == 0.5 and len(recipe["fingerprint"]) == 12
    assert [one["name"] for one in recipe["components"]][:2] == ["DS", "L_dis"]
    run = listed(capsys, "show", STORE / "L_reg-0")
    assert run["status"]["state"] == "finished" and run["values"]["schedule"]["iterations"] == 90
    plan = listed(capsys, "show", "--plan", "table4_components")
    assert [row["key"] for row in plan["rows"]] == ["baseline", "DS", "L_dis", "DTA", "ANF", "L_reg"]
    assert plan["rows"][0]["paper"] == {"M": 63.2, "Seg": 62.3}
    assert listed(capsys, "show", "--sweep", "demo")["goal"] == [["seg/best/mIoU", "maximize"]]


def test_the_schema_is_no_list(capsys):
    assert main(["show", "--schema", "--json"]) == 2
    assert "docs" in capsys.readouterr().err


def test_what_a_plan_would_run(capsys, tmp_path):
    runs = listed(capsys, "ablate", PLAN, "--root", STORE, "--dry-run")
    assert len(runs) == 6 and {run["state"] for run in runs} == {"finished"}
    assert {run["seconds_remaining"] for run in runs} == {0}
    fresh = listed(capsys, "ablate", PLAN, "--root", tmp_path, "--dry-run", "--rows", "L_reg", "--seeds", 7)
    (run,) = fresh
    assert (run["row"], run["seed"], run["state"], run["iteration"], run["iterations"]) == ("L_reg", 7, None, 0, 90)
    assert run["changes"]["model.noise_filter.start"] == 60
    assert main(["ablate", PLAN, "--json"]) == 2
    assert "add --dry-run" in capsys.readouterr().err


def test_the_data_check(capsys):
    report = listed(capsys, "data", "check", "demo/toy", "--set", "data.val.count=3")
    assert report["ok"] is True and report["counts"]["val"]["images"] == 3 and report["problems"] == []


def test_what_would_be_uploaded(capsys, tmp_path):
    assert listed(capsys, "sync", tmp_path, "--dry-run") == []
    assert main(["sync", str(tmp_path), "--json"]) == 2


def test_what_differs_from_a_run(capsys):
    found = listed(capsys, "reproduce", STORE / "L_reg-0")
    assert {"what", "same", "told", "advice"} == set(found["checks"][0])
    assert found["command"][:2] == ["dupl", "train"] and found["state"] == "finished"
    assert main(["reproduce", str(STORE / "L_reg-0"), "--json", "--out", "x"]) == 2


def test_what_a_sweep_would_search(capsys, tmp_path):
    facts = listed(capsys, "sweep", "demo", "--root", tmp_path, "--dry-run", "--trials", "3")
    assert (facts["trials"], facts["goal"]) == (3, [["seg/best/mIoU", "maximize"]])
    assert facts["space"]["warm-up"]["paths"] == ["model.noise_filter.start", "model.consistency.start"]
    assert "warm-up < schedule.iterations" in facts["constraints"]
    assert facts["starts"][0]["state"] is None and facts["seconds_at_most"] is None
    assert main(["sweep", "demo", "--json"]) == 2
    assert "add --dry-run" in capsys.readouterr().err
    assert main(["sweep", "demo", "--json", "--confirm", "1"]) == 2
    assert "give one of them" in capsys.readouterr().err


LISTINGS = [
    "runs",
    "show",
    "doctor",
    "ablate",
    "sweep",
    "data check",
    "data tags",
    "sync",
    "reproduce",
    "explain",
    "power",
]


@pytest.mark.parametrize("name", [*LISTINGS, "power", "verify"])
def test_every_listing_has_it(name):
    assert "--json" in commands()[name].format_help()


@pytest.mark.parametrize("name", [name for name in commands() if name != "data"])
def test_every_command_can_be_quiet(name):
    assert "-q, --quiet" in commands()[name].format_help()


def test_quiet_leaves_results_and_errors(capsys, tmp_path):
    out = tmp_path / "table.md"
    assert main(["report", PLAN, "--root", str(STORE), "--out", str(out), "--quiet"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "") and out.exists()
    assert main(["report", PLAN, "--root", str(STORE), "--out", str(out)]) == 0
    assert f"written to {out}" in capsys.readouterr().err, "the next command is not quiet"
    assert main(["report", "nowhere.py", "-q"]) == 2
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("shell, word", [("bash", "complete -"), ("zsh", "#compdef dupl"), ("tcsh", "complete dupl")])
def test_completion(shell, word, capsys):
    pytest.importorskip("shtab", reason='shtab is not installed: pip install ".[completion]"')
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert word in text and "ablate" in text
    if shell == "bash" and (bash := shutil.which("bash")):
        assert subprocess.run([bash, "-n"], input=text, text=True).returncode == 0
