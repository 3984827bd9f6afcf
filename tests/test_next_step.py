"""What a command says to do next."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from dupl.cli import build_parser, main
from dupl.cli.next_step import STEPS, next_step

STORE = Path(__file__).parent / "fixtures" / "store"


def after(*words: object) -> str:
    return next_step(build_parser().parse_args([str(word) for word in words]))


def test_every_command_has_a_next_step():
    (below,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    assert set(below.choices) == set(STEPS)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("train demo/toy --work-dir runs/a", "dupl eval runs/a, or dupl report runs/a"),
        ("ablate demo_table4 --dry-run", "dupl ablate demo_table4"),
        (
            "ablate demo_table4 --root s --set schedule.lr=1",
            "dupl report demo_table4 --root s --set schedule.lr=1, or dupl board --open --root s",
        ),
        ("ablate demo_table4 demo_table6 --dry-run", "dupl ablate demo_table4 demo_table6"),
        ("sweep demo", "dupl report demo, or dupl sweep demo --confirm 3"),
        ("sweep demo --confirm 3", "dupl report demo"),
        ("data prepare coco --root d", "dupl data check coco/dupl --set data.train.root=d data.val.root=d"),
        ("data check voc/dupl", "dupl train voc/dupl"),
        ("show voc/dupl", "dupl train voc/dupl"),
        ("report demo_table4", "dupl report demo_table4 --out demo_table4.html"),
        ("report demo_table4 --out t.html", "open t.html"),
        ("explain runs/a runs/b --out s.py", "dupl ablate s.py"),
        ("power demo_table4 --spread 1,0", "dupl ablate demo_table4 --dry-run"),
        ("doctor voc/dupl", "dupl train voc/dupl"),
        ("infer runs/a photos --out out", "open out/index.html"),
        ("infer runs/a --voc-submission --root voc --out out", "upload out/results.tgz to the test server"),
    ],
)
def test_what_follows(words, line):
    assert after(*words.split()) == line


def test_of_a_run_and_of_a_default_folder():
    run = STORE / "L_dis-0"
    assert after("eval", run) == f"dupl report {run}"
    assert after("report", run) == f"dupl board --root {STORE}"
    assert after("train", "demo/toy").startswith("dupl eval runs/demo-toy-")
    assert after("train", "no/such") == "", "a hint that cannot be made is no error"


def test_only_a_person_at_a_terminal_is_told(capsys, monkeypatch):
    assert main(["show"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["show"]) == 0
    assert capsys.readouterr().err == "next: dupl show NAME, or dupl train NAME\n"
    monkeypatch.setenv("RANK", "1")
    assert main(["show"]) == 0
    assert capsys.readouterr().err == ""
