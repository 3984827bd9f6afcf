"""An anonymous archive names no person, machine or place, in any of its files."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import dupl
from dupl.config.fingerprint import config_id
from dupl.config.text import to_text
from dupl.evidence import anonymous, container
from dupl.evidence.verify import verify
from dupl.runs.config import read_config_values

FIXTURES = Path(__file__).parents[1] / "fixtures"
SECRETS = ("marysmith", "Mary Smith", "mary.smith@uni-example.org", "gpu-box-7", "uni-example", "secretlab", "/home/")
DATA = {"train": {"type": "Toy", "root": "marysmith/secretlab", "masks": "0123456789ab", "tags": None, "images": 9}}
DIFF = """# M train.py
diff --git a/train.py b/train.py
+# written by Mary Smith <mary.smith@uni-example.org> on gpu-box-7
+ROOT = "/home/marysmith/secretlab"
"""


@pytest.fixture
def named_store(store, monkeypatch) -> Path:
    """A store whose runs name a person, her machine and her folders wherever a run can."""
    for run in store.iterdir():
        status = json.loads((run / "status.json").read_text())
        status |= {"host": "gpu-box-7.uni-example.org", "pid": 4711, "dirty": True}
        status["command"] = [
            "dupl",
            "train",
            "/home/marysmith/secretlab/recipe.py",
            "--set",
            "data.train.root=/secretlab",
        ]
        status["stretches"] = [
            {"start": 0, "end": status["iteration"], "seconds": 5.0, "host": "gpu-box-7", "commit": status["commit"]}
        ]
        status["error"] = "no file /home/marysmith/secretlab/x.png (mary.smith@uni-example.org)"
        (run / "status.json").write_text(json.dumps(status))
        (run / "git.diff").write_text(DIFF)
        (run / "git-12345678.diff").write_text(DIFF)
        (run / "data.json").write_text(json.dumps(DATA))
        for file in run.glob("evaluation/*/metrics.json"):
            facts = json.loads(file.read_text()) | {"note": "by marysmith", "checkpoint": "/home/marysmith/iter_90.pth"}
            file.write_text(json.dumps(facts))
    monkeypatch.setattr(anonymous, "_people", lambda: {"marysmith", "Mary Smith", "mary.smith@uni-example.org", "root"})
    monkeypatch.setattr(anonymous.socket, "gethostname", lambda: "gpu-box-7")
    monkeypatch.setattr(anonymous.socket, "getfqdn", lambda: "gpu-box-7.uni-example.org")
    return store


@pytest.mark.usefixtures("packages")
def test_no_file_of_the_archive_names_a_person_a_machine_or_a_place(named_store, tmp_path):
    plan, file = FIXTURES / "plan.py", tmp_path / "anonymous.zip"
    command = f"dupl export {plan} --root {named_store} --out /home/marysmith/x.zip"
    dupl.export_evidence(plan, file, named_store, overrides=[], anonymous=True, command=command)
    found = container.read(file)
    commit = json.loads((named_store / "L_reg-0" / "status.json").read_text())["commit"]
    for name, data in [*found.members.items(), ("its names", "\n".join(found.members).encode())]:
        text = data.decode()
        for secret in (*SECRETS, commit, commit[:12], "4711", str(named_store), str(FIXTURES)):
            assert secret.lower() not in text.lower(), (name, secret)
    assert not [name for name in found.members if name.endswith(".diff")]
    data = next(json.loads(text) for name, text in found.members.items() if name.endswith("/data.json"))
    assert data == {"train": DATA["train"] | {"root": "PATH"}}
    assert verify(file).proven


@pytest.mark.usefixtures("packages")
def test_with_names_the_archive_has_commit_and_changes(named_store, tmp_path):
    file = tmp_path / "named.zip"
    dupl.export_evidence(FIXTURES / "plan.py", file, named_store, overrides=[])
    found = container.read(file).members
    assert sum(name.endswith("/git.diff") for name in found) == 6
    assert any(b"gpu-box-7" in data for data in found.values())


def test_what_counts_of_a_config_stays():
    values = read_config_values(FIXTURES / "store" / "L_reg-0")
    values["data"]["train"] |= {"root": "/home/marysmith/VOC"}
    values["work_dir"] = "/home/marysmith/runs"
    hidden = anonymous.Redactor({"marysmith": "NAME"}).config(values)
    assert config_id(hidden) == config_id(values) and "marysmith" not in to_text(hidden)


def test_folders_and_recipes_that_are_given_by_relative_paths_are_not_told():
    """Such a path may name a colleague, whom nothing on this machine knows."""
    facts = {"label_maps": {"folder": "../../anneli/maps", "kind": "seg"}, "base": "../anneli/recipes/own.py"}
    facts["rows"] = [{"base": "voc/dupl"}, {"base": "recipes/anneli/own.py"}]
    found = anonymous.Redactor({}).members({"metrics.json": json.dumps(facts).encode()})
    assert json.loads(found["metrics.json"]) == {
        "label_maps": {"folder": "PATH", "kind": "seg"},
        "base": "own.py",
        "rows": [{"base": "voc/dupl"}, {"base": "own.py"}],
    }


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("see /home/mary/x.py, line 3", "see PATH, line 3"),
        ("~/x/y and ~mary/z", "PATH and PATH"),
        (r"C:\Users\mary\x", "PATH"),
        ("cam/1/mIoU, 4/5, a / b, and/or", "cam/1/mIoU, 4/5, a / b, and/or"),
        ("https://w3id.org/ro/wfrun", "https://w3id.org/ro/wfrun"),
        ("https://mary@host.org/x", "https://host.org/x"),
        ("mail me@uni.org", "mail NAME"),
        ("on BOX7 by mary, marybeth", "on HOST by NAME, marybeth"),
    ],
)
def test_texts(text, wanted):
    assert anonymous.Redactor({"box7": "HOST", "mary": "NAME"}).text(text) == wanted


def test_the_names_that_are_looked_for(tmp_path, monkeypatch):
    """Authors of commits, this account and this host; accounts that name nobody are no names."""
    monkeypatch.setattr(anonymous, "ROOT", tmp_path)
    run = ["git", "-C", str(tmp_path), "-c", "user.name=Mary Smith", "-c", "user.email=mary.smith@uni-example.org"]
    subprocess.run([*run, "init", "-q"], check=True)
    subprocess.run([*run, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    monkeypatch.setattr(anonymous.getpass, "getuser", lambda: "root")
    found = anonymous.Redactor.of([]).names
    assert {"Mary Smith", "mary.smith@uni-example.org", "mary.smith"} <= set(found)
    assert "root" not in found


def test_equal_commits_are_seen_to_be_equal():
    assert anonymous.commit_digest("a" * 40) == anonymous.commit_digest("a" * 40) != anonymous.commit_digest("b" * 40)
    assert len(anonymous.commit_digest("a" * 40)) == 40
