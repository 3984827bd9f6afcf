"""Recipes, plans and sweeps from elsewhere, and the folders of runs: no command executes anything of them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from dupl.cli import main
from dupl.config import catalogue
from dupl.config.reader import read
from dupl.errors import UserError
from dupl.registry import COMPONENTS, DATASETS
from dupl.terminal import printable

CHECKOUT = Path(__file__).parents[2]
ATTACKS = {
    "import": "import os",
    "from": "from os import system",
    "call": "__import__('os').system('touch {mark}')",
    "value": "model = __import__('os').system('touch {mark}')",
    "open": "model = dict(type=open('{mark}', 'w'))",
    "keywords": "model = dict(**open('{mark}', 'w'))",
    "comprehension": "model = [open('{mark}', 'w') for _ in [1]]",
    "f-string": "model = f\"{{open('{mark}', 'w')}}\"",
    "lambda": "model = (lambda: open('{mark}', 'w'))()",
    "walrus": "model = (x := open('{mark}', 'w'))",
    "decorator": "@open('{mark}', 'w').write\ndef f(): pass",
    "class": "class A:\n    open('{mark}', 'w')",
    "default": "def f(x=open('{mark}', 'w')): pass",
    "annotation": "x: open('{mark}', 'w') = 1",
    "if": "if open('{mark}', 'w'):\n    x = 1",
    "assert": "assert open('{mark}', 'w')",
    "with": "with open('{mark}', 'w') as x:\n    pass",
    "target": "x[open('{mark}', 'w')] = 1",
    "attribute": "model = _base_.model",
    "name": "model = one",
    "key": "model = {{open('{mark}', 'w'): 1}}",
    "base": "_base_ = [open('{mark}', 'w')]",
    "environment": "model = '{{{{$HOME:x}}}}'",
    "predefined": "model = '{{{{ fileDirname }}}}'",
    "power": "model = 9 ** 9 ** 9",
    "many": "model = [[[0] * 1000] * 1000] * 1000",
    "text": "model = 'a' * 10 ** 10",
    "bytes": "model = b'1'",
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS)
def test_more_than_literals_is_refused_with_its_line_and_nothing_runs(home, capsys, text):
    mark = home / "ran"
    Path("evil.py").write_text(f'"""A recipe."""\n\n{text.format(mark=mark)}\n')
    assert main(["show", "evil.py"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1
    assert f"{home / 'evil.py'}, line " in err
    assert not mark.exists()


def test_no_exec_is_accepted_with_a_notice(home, capsys):
    Path("evil.py").write_text(f"import os\nos.system('touch {home}/ran')\n")
    assert main(["show", "--no-exec", "evil.py"]) == 2
    assert not (home / "ran").exists()
    notice, line = capsys.readouterr().err.splitlines()
    assert "--no-exec has no effect" in notice
    assert "line 1: import os is more than literals" in line


@pytest.mark.parametrize(
    "words",
    [
        ["show", "evil.py"],
        ["doctor", "evil.py"],
        ["data", "check", "evil.py"],
        ["train", "evil.py"],
        ["eval", "evil.py", "--checkpoint", "x.pth"],
        ["show", "--plan", "plan.py"],
        ["ablate", "plan.py"],
        ["report", "plan.py"],
        ["runs", "--plan", "plan.py"],
        ["show", "--sweep", "sweep.py"],
        ["sweep", "sweep.py"],
    ],
    ids=" ".join,
)
def test_no_command_executes_a_recipe(home, capsys, words):
    base = CHECKOUT / "experiments" / "demo" / "toy.py"
    Path("evil.py").write_text(f"_base_ = [{str(base)!r}]\nhooks = [open('{home}/ran', 'w')]\n")
    Path("plan.py").write_text("base = 'evil.py'\ncolumns = dict(S=dict(metric='s'))\nrows = dict(a=dict())\n")
    text = (CHECKOUT / "sweeps" / "demo.py").read_text().replace('"demo/ablation"', '"evil.py"')
    Path("sweep.py").write_text(text)
    Path("runs").mkdir()
    assert main(words) == 2
    assert f"{home / 'evil.py'}, line 2" in capsys.readouterr().err
    assert not (home / "ran").exists()


def test_a_base_is_not_executed_either(home, capsys):
    Path("base.py").write_text(f"x = open('{home}/ran', 'w')\n")
    Path("innocent.py").write_text("_base_ = ['base.py']\n")
    assert main(["show", "innocent.py"]) == 2
    assert f"{home / 'base.py'}, line 1" in capsys.readouterr().err
    assert not (home / "ran").exists()


def test_custom_imports_are_not_imported(home, monkeypatch, capsys):
    Path("evil_module.py").write_text(f"open('{home}/ran', 'w')")
    monkeypatch.syspath_prepend(str(home))
    base = CHECKOUT / "experiments" / "demo" / "toy.py"
    Path("mine.py").write_text(
        f"_base_ = [{str(base)!r}]\ncustom_imports = dict(imports=['evil_module'])\n"
        "model = dict(threshold=dict(_delete_=True, type='Mine'))\n"
    )
    assert main(["show", "mine.py"]) == 0
    assert "DTA          ?    Mine()" in capsys.readouterr().out
    assert not (home / "ran").exists() and "evil_module" not in sys.modules


def test_a_plan(home, capsys):
    Path("plan.py").write_text(f"base = 'demo/toy'\nrows = dict(a=open('{home}/ran', 'w'))\n")
    assert main(["show", "--plan", "plan.py"]) == 2
    assert f"{home / 'plan.py'}, line 2" in capsys.readouterr().err
    Path("base.py").write_text(f"x = open('{home}/ran', 'w')\n")
    columns = "columns = dict(Seg=dict(metric='seg/best/mIoU'))\nrows = dict(a=dict())\n"
    Path("plan.py").write_text(f"base = 'base.py'\nseeds = [0]\n{columns}")
    assert main(["show", "--plan", "plan.py"]) == 2
    assert f"{home / 'base.py'}, line 1" in capsys.readouterr().err
    assert not (home / "ran").exists()


def test_a_sweep(home, capsys):
    text = (CHECKOUT / "sweeps" / "demo.py").read_text()
    Path("mine.py").write_text(text)
    assert main(["show", "--sweep", "mine.py"]) == 0
    assert "maximize seg/best/mIoU" in capsys.readouterr().out
    Path("evil.py").write_text(f"{text}trials = open('{home}/ran', 'w')\n")
    assert main(["show", "--sweep", "evil.py"]) == 2
    assert f"{home / 'evil.py'}, line {len(text.splitlines()) + 1}" in capsys.readouterr().err
    assert not (home / "ran").exists()


class TestRuns:
    @pytest.fixture
    def run(self, home, trained):
        """A run from elsewhere, its config.py replaced."""
        shutil.copytree(trained, home / "runs" / "theirs")
        file = home / "runs" / "theirs" / "config.py"
        file.write_text(f"{file.read_text()}\nopen('{home}/ran', 'w')\n")
        return home / "runs" / "theirs"

    @pytest.mark.parametrize("command", ["show", "eval", "report", "board", "infer", "runs", "train"])
    def test_no_command_on_a_runs_folder_executes_its_config(self, home, run, command, tiny, capsys):
        further = {
            "infer": [str(next(CHECKOUT.glob("docs/*.png"))), "--out", "out"],
            "board": ["--static", "page.html"],
            "train": ["--work-dir", str(run), "--resume", "--set", "runtime.seed=3"],
        }
        argv = [command, tiny if command == "train" else str(run), *further.get(command, [])]
        if command == "runs":
            argv = [command]
        main(argv)
        assert not (home / "ran").exists()
        if command in ("show", "eval", "infer", "train"):
            assert "config.py, line " in capsys.readouterr().err


def test_a_resolved_config_comes_back(home):
    values = {"a": {"b c": [1, -2.5, (3,), None, True, "{{ fileDirname }}"], "d": {}}, "e": 'x\'y\n"z"'}
    Path("config.py").write_text(catalogue.to_text(values))
    assert catalogue.plain(catalogue.read("config.py", schema=None)) == values


@pytest.mark.parametrize(
    "text", ["x = " + "-" * 100_000 + "1", "x = " + "[" * 150 + "]" * 150, "x = 1\0", "x = '\ud800'"]
)
def test_files_made_to_break_the_reader(home, text):
    Path("evil.py").write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        read("evil.py")
    except UserError as error:
        assert "\n" not in str(error)


class TestNamesOfClasses:
    """A recipe of literals builds what was registered, and nothing that a name with dots points to."""

    @pytest.mark.parametrize("name", ["os.system", "os.path.join", "this", "this.s", ""])
    def test_nothing_else_is_found(self, name):
        for registry in (COMPONENTS, DATASETS):
            assert registry.get(name) is None
            with pytest.raises(KeyError):
                registry.build(dict(type=name))
        with pytest.raises(KeyError, match="_scope_"):
            DATASETS.build(dict(type="Toy", _scope_="this"))
        assert "this" not in sys.modules

    def test_a_run_that_calls_a_program_is_refused(self, home, trained, capsys):
        mark = home / "ran"
        run = home / "run"
        shutil.copytree(trained, run)
        whole = catalogue.read(run / "config.py")
        whole.data.val = dict(type="os.system", command=f"touch {mark}")
        (run / "config.py").write_text(catalogue.to_text(whole))
        for words in (["eval", "run"], ["infer", "run", "a.png", "--out", "out"], ["reproduce", "run", "--check"]):
            Image.new("RGB", (8, 8)).save("a.png")
            assert main(words) in (0, 1, 2)
            assert "Traceback" not in capsys.readouterr().err
        whole.data.val = whole.data.train
        whole.hooks = [dict(type="os.system", command=f"touch {mark}")]
        Path("evil.py").write_text(catalogue.to_text(whole))
        assert main(["train", "evil.py", "--work-dir", "out2"]) == 2
        assert "no hook is registered as 'os.system'" in capsys.readouterr().err
        assert not mark.exists()


def test_what_a_file_says_does_not_steer_the_terminal(home, capsys):
    Path("odd.py").write_text('"""A recipe \\x1b[8m.\\u202e"""\n\n_base_ = ["demo/toy.py"]\n', encoding="utf-8")
    assert main(["show", "odd.py"]) in (0, 2)
    Path("tags.csv").write_text("image,tags\na.jpg,\x1b[8mcat\n")
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err and "\u202e" not in out + err
    assert printable("a\x1b[8m\tb\n\u202ec\ud800é") == "a\\x1b[8m\tb\n\\u202ec\\ud800é"


def test_few_characters_do_not_become_many_values(home):
    Path("many.py").write_text("a = [" + "[0] * 9999, " * 300 + "]\n")
    with pytest.raises(UserError, match="is more than literals"):
        read("many.py")
