"""Stores, runs and recipes from elsewhere: no command imports, unpickles, writes or sends what they ask for."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import stat
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from dupl import api
from dupl.cli import main
from dupl.config import catalogue
from dupl.errors import UserError
from dupl.execute.job import Job, Step
from dupl.execute.order import End, Order, decode, decode_end, encode, encode_end
from dupl.execute.worker import work, work_by_text
from dupl.plans.confirm import confirm_file
from dupl.process import environment
from dupl.registry import COMPONENTS
from dupl.track.backends import check_backends

FIXTURES = Path(__file__).parents[1] / "fixtures"
PLAN = str(FIXTURES / "plan.py")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    yield tmp_path
    for name in [one for one in sys.modules if one.startswith("evil")]:
        del sys.modules[name]
    for name in ("Evil",):
        COMPONENTS.module_dict.pop(name, None)


def evil(home: Path) -> str:
    return f"open({str(home / 'ran')!r}, 'w').close()\n"


class TestConfirm:
    @pytest.mark.parametrize("further", [[], ["--dry-run"]])
    @pytest.mark.parametrize("kind", ["code", "base", "row"])
    def test_the_plan_of_a_foreign_store_is_read_and_checked(self, home, capsys, further, kind):
        file = confirm_file(api.load_sweep("demo"), "store")
        file.parent.mkdir(parents=True)
        (home / "evil.py").write_text(evil(home))
        rows = "rows = dict(paper=dict())\n"
        text = {
            "code": evil(home),
            "base": f"base = {str(home / 'evil.py')!r}\n{rows}",
            "row": f"base = 'demo/ablation'\nrows = dict(paper=dict(base={str(home / 'evil.py')!r}))\n",
        }[kind]
        file.write_text(text)
        assert main(["sweep", "demo", "--confirm", "2", "--root", "store", *further]) == 2
        told = capsys.readouterr().err
        assert ("line 1" if kind == "code" else "remove the file to choose again") in told
        assert not (home / "ran").exists()


class Trap:
    def __reduce__(self):
        return os.system, ("touch ran",)


class TestExchange:
    def job(self, home: Path, *words: str) -> Job:
        steps = (Step((sys.executable, *words)),)
        return Job("a", "row a", str(home), str(home / "run"), steps, str(home), {"A": "1"})

    def test_orders_and_answers_are_json(self, home):
        job, order = self.job(home, "-c", "pass"), Order("t", cores=(1,), env={"B": "2"})
        text = encode(job, order)
        assert json.loads(text)[0] == json.loads(json.dumps(asdict(job)))
        assert asdict(decode(text)[0]) == asdict(job)
        end = End("failed", "why", hopeless=True)
        assert decode_end(encode_end(end)) == end
        (home / ".plans").mkdir()
        (home / ".plans" / "a.t.stop").touch()  # it is asked to stop before it begins
        assert decode_end(work_by_text(text, str(home / "answer.json"))) == End("interrupted")
        assert decode_end((home / "answer.json").read_text()) == End("interrupted")

    @pytest.mark.parametrize("answer", ["", "[]", "null", '{"outcome": "ok"}', b"pickle", None])
    def test_another_answer_is_refused(self, answer):
        with pytest.raises(ValueError):
            decode_end(answer)

    def test_slurms_folder_is_fresh_and_private(self, home):
        pytest.importorskip("submitit", reason='submitit is not installed: pip install ".[slurm]"')
        from dupl.execute.slurm import SlurmExecutor, SlurmHandle

        theirs = home / "store" / ".slurm"
        theirs.mkdir(parents=True)
        for number in (1, 2):
            for name in (f"{number}_0_result.pkl", f"{number}_submitted.pkl"):
                (theirs / name).write_bytes(pickle.dumps(Trap()))
        made = [SlurmExecutor(home / "store", cluster="local", per_run=0) for _ in range(2)]
        assert made[0].folder != made[1].folder
        for one in made:
            assert one.folder.parent == theirs and not list(one.folder.iterdir())
            assert stat.S_IMODE(one.folder.stat().st_mode) == 0o700

        class Ended:
            class paths:
                stderr = "log"

            def stderr(self):
                return "srun: error\nkilled\n"

            def result(self):
                raise AssertionError("a pickle was read")

        answer = made[0].folder / "t.json"
        assert SlurmHandle(Ended(), answer, None).end() == End("failed", "killed (see log)", broken=True)
        answer.write_bytes(pickle.dumps(Trap()))
        assert SlurmHandle(Ended(), answer, None).end().broken
        answer.write_text(encode_end(End("finished")))
        assert SlurmHandle(Ended(), answer, None).end() == End("finished")
        assert not (home / "ran").exists()


class TestCurrentFolder:
    def test_modules_of_a_runs_folder_are_not_imported(self, home):
        for name in ("rich", "numpy", "pandas", "wandb", "yaml", "json", "evil"):
            (home / f"{name}.py").write_text(evil(home))
        command = [sys.executable, "-m", "dupl", "runs", "--root", "."]
        for env in ({**os.environ}, environment()):
            done = subprocess.run(command, capture_output=True, text=True, env=env)
            assert done.returncode == 0, done.stderr
        assert not (home / "ran").exists()

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="PYTHONSAFEPATH is of Python 3.11")
    def test_nor_by_commands_of_a_job(self, home):
        (home / "evil.py").write_text(evil(home))
        job = TestExchange().job(home, "-c", "import evil")
        assert work(job, Order("t")).outcome == "failed"
        assert "No module named 'evil'" in (home / "run" / "logs" / "ablate.log").read_text()
        assert not (home / "ran").exists()


class TestCustomImports:
    MODULE = "from dupl.method.component import Component\nfrom dupl.registry import COMPONENTS\n"
    MODULE += (
        "@COMPONENTS.register_module()\nclass Evil(Component):\n    def __init__(self, bound: int) -> None: pass\n"
    )

    def write(self, folder: Path, home: Path, tiny: str) -> Path:
        """Write a module, and a config whose component it has, with a fault that ends training before it begins."""
        (folder / "evil_parts.py").write_text(evil(home) + self.MODULE)
        values = catalogue.plain(catalogue.load(tiny))
        values["custom_imports"] = dict(imports=["evil_parts"])
        values["model"]["noise_filter"] = dict(type="Evil", bound="x")
        (folder / "config.py").write_text(catalogue.to_text(values))
        return folder / "config.py"

    @pytest.fixture
    def run(self, home, trained, tiny):
        shutil.copytree(trained, home / "run")
        self.write(home / "run", home, tiny)
        return home / "run"

    @pytest.mark.parametrize("here", [".", "run"])
    def test_a_run_reaches_neither_its_folder_nor_the_current_one(self, home, run, here, monkeypatch, capsys):
        monkeypatch.chdir(home / here)
        monkeypatch.syspath_prepend("")  # as in a notebook
        again = run / "config.py"
        for words in (
            ["train", again, "--work-dir", home / "new"],
            ["eval", run],
            ["reproduce", run, "--out", home / "b"],
        ):
            assert main([str(word) for word in words]) == 2
            told = capsys.readouterr().err
            assert "No module named 'evil_parts'; a run's modules must be installed or on PYTHONPATH" in told
        assert not (home / "ran").exists()

    def test_the_config_of_a_run_is_no_program(self, home, run, capsys):
        with (run / "config.py").open("a") as file:
            file.write(evil(home))
        assert main(["train", str(run / "config.py"), "--work-dir", "new"]) == 2
        assert "is more than literals" in capsys.readouterr().err
        assert not (home / "ran").exists() and not (home / "new").exists()

    def test_nor_does_a_job_of_a_store(self, home, tiny, capsys):
        (home / "store" / ".plans").mkdir(parents=True)
        file = self.write(home / "store" / ".plans", home, tiny)
        assert main(["train", str(file), "--work-dir", "new"]) == 2
        assert "installed or on PYTHONPATH" in capsys.readouterr().err
        assert not (home / "ran").exists()

    def test_a_run_reaches_pythonpath(self, home, run, monkeypatch, capsys):
        monkeypatch.setenv("PYTHONPATH", str(run))
        monkeypatch.syspath_prepend(str(run))
        assert main(["train", str(run / "config.py"), "--work-dir", "new"]) == 2
        assert "noise_filter.bound is 'x'" in capsys.readouterr().err
        assert (home / "ran").exists()

    def test_a_recipe_that_the_user_named_reaches_the_folder_beside_it_which_is_said(self, home, tiny, capsys):
        (home / "mine").mkdir()
        file = self.write(home / "mine", home, tiny).rename(home / "mine" / "recipe.py")
        before = list(sys.path)
        assert main(["train", str(file), "--work-dir", "new"]) == 2
        line, fault = capsys.readouterr().err.splitlines()
        assert line == f"dupl: {file}: imports evil_parts from the recipe's folder: {home / 'mine' / 'evil_parts.py'}"
        assert "noise_filter.bound is 'x'" in fault
        sys.path[:] = before

    def test_a_module_beside_it_does_not_stand_for_an_installed_one(self, home, tiny, monkeypatch, capsys):
        monkeypatch.delitem(sys.modules, "wave", raising=False)
        (home / "mine").mkdir()
        (home / "mine" / "wave.py").write_text(evil(home))
        (home / "mine" / "recipe.py").write_text(f"_base_ = [{tiny!r}]\ncustom_imports = dict(imports=['wave'])\n")
        before = list(sys.path)
        assert main(["train", "mine/recipe.py", "--work-dir", "new", "--set", "evaluation.best=x"]) == 2
        assert not (home / "ran").exists()
        sys.path[:] = before


class TestBackends:
    @pytest.mark.parametrize(
        ("backend", "told"),
        [
            (dict(type="LocalVisBackend", save_dir="/tmp/x"), "save_dir"),
            (dict(type="LocalVisBackend", config_save_file="../../../x.py"), "config_save_file"),
            (dict(type="LocalVisBackend", img_save_dir="/tmp/x"), "img_save_dir"),
            (dict(type="LocalVisBackend", name="x"), "name"),
            (dict(type="TensorboardVisBackend", save_dir="x"), "save_dir"),
            (dict(type="MLflowVisBackend", tracking_uri="http://evil.invalid"), "set MLFLOW_TRACKING_URI"),
            (dict(type="MLflowVisBackend", artifact_location="/tmp"), "artifact_location"),
            (dict(type="MLflowVisBackend", tags={"a": ["b"]}), "give a plain value"),
            (dict(type="AimVisBackend", init_kwargs=dict(repo="aim://evil.invalid")), "init_kwargs"),
            (dict(type="AimVisBackend", repo="/tmp"), "repo"),
            (dict(type="WandbVisBackend", init_kwargs=dict(project="x")), "--wandb"),
            (dict(type="ClearMLVisBackend"), "may not name ClearMLVisBackend"),
        ],
    )
    def test_neither_files_nor_addresses(self, home, tiny, backend, told, capsys):
        Path("evil.py").write_text(f"_base_ = [{tiny!r}]\nruntime = dict(vis_backends=[{backend!r}])\n")
        assert main(["train", "evil.py", "--work-dir", "run"]) == 2
        line = capsys.readouterr().err
        assert "runtime.vis_backends.0" in line and told in line
        assert sorted(os.listdir()) == ["evil.py"]

    def test_what_a_recipe_may_say(self, monkeypatch):
        monkeypatch.setattr("dupl.track.backends.importlib.util.find_spec", lambda name: True)
        for name in ("mlflow", "aim", "tensorboard"):
            values = catalogue.load(Path(__file__).parents[2] / "experiments" / "_base_" / "track" / f"{name}.py", None)
            check_backends(values.runtime.vis_backends)
        check_backends([dict(type="MLflowVisBackend", exp_name="a", tags=dict(who="me")), dict(type="LocalVisBackend")])
        with pytest.raises(UserError, match="did you mean exp_name"):
            check_backends([dict(type="MLflowVisBackend", expname="a")])


@pytest.mark.parametrize(
    "hook",
    [
        dict(type="EMAHook", ema_type="os.system"),
        dict(type="CheckpointHook", out_dir="/tmp/x"),
        dict(type="ProfilerHook", on_trace_ready=dict(type="tb_trace", dir_name="../x")),
    ],
)
def test_hooks_of_mmengine_take_neither_paths_nor_names_to_import(home, tiny, hook, capsys):
    Path("evil.py").write_text(f"_base_ = [{tiny!r}]\nhooks = [{hook!r}]\n")
    assert main(["train", "evil.py", "--work-dir", "run"]) == 2
    assert f"hooks.0: {hook['type']} takes neither paths nor names with dots" in capsys.readouterr().err
    assert not Path("run").exists()


class TestTerminal:
    @pytest.fixture
    def store(self, home):
        """A store whose statuses hold escape sequences."""
        shutil.copytree(FIXTURES / "store", home / "runs")
        for n, file in enumerate(sorted((home / "runs").glob("*/status.json"))):
            status = json.loads(file.read_text())
            odd = f"\x1b]0;evil\x07\x1b[2J{n}\u202e"
            status |= dict(commit=odd, host=odd, machine=odd, error=odd, command=["dupl", odd])
            status["versions"] = {**status["versions"], "torch": odd, odd: "1"}
            file.write_text(json.dumps(status))
        return home / "runs"

    @pytest.mark.parametrize(
        "words",
        [
            *(["report", PLAN, "--format", form] for form in ("latex", "md", "csv")),
            ["report", PLAN],
            ["runs"],
            ["runs", "--json"],
            ["show", "runs/L_dis-0"],
            ["reproduce", "runs/L_dis-0"],
            ["ablate", PLAN, "--dry-run"],
        ],
        ids=lambda words: " ".join(words).replace(PLAN, "PLAN"),
    )
    def test_escape_sequences_of_a_status_do_not_reach_it(self, store, words, capsys):
        assert main(words) == 0
        out, err = capsys.readouterr()
        assert out
        for text in out, err:
            assert not {"\x1b", "\x07", "\u202e"} & set(text)

    @pytest.mark.parametrize("form", ["md", "tex", "csv"])
    def test_nor_a_file_that_is_read_there(self, store, form):
        assert main(["report", PLAN, "--out", f"table.{form}"]) == 0
        assert not {"\x1b", "\x07", "\u202e"} & set(Path(f"table.{form}").read_text())
