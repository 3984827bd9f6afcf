"""The examples in the documentation of the public functions, executed beside a small store of real runs."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pathlib
import pkgutil
import re
import shutil
import subprocess
import sys

import optuna
import pytest
from PIL import Image

import dupl
import dupl.api
from dupl.plans.samplers import quiet_optuna
from dupl.plans.study import open_study

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures"
MODULES = sorted(module.name for module in pkgutil.iter_modules(dupl.api.__path__, "dupl.api."))
OPTIONS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


@pytest.fixture(scope="module")
def place(trained, tmp_path_factory) -> pathlib.Path:
    """A folder with a store of a plan's runs and of ``runs/tiny``, the plan, and a photo."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(FIXTURES / "store", folder / "runs")
    shutil.copytree(trained, folder / "runs" / "tiny")
    text = (FIXTURES / "plan.py").read_text().replace("../..", str(FIXTURES.parents[1]))
    (folder / "plan.py").write_text(text)
    search(folder / "searched")
    Image.new("RGB", (40, 30), "teal").save(folder / "photo.png")
    return folder


def search(root: pathlib.Path) -> None:
    """Put a study of the sweep "demo" with eight trials into a store; the closer to 0.55, the better."""
    sweep = dupl.load_sweep("demo")
    with quiet_optuna():
        study = open_study(sweep, root=root, create=True)
        spaces = {
            p.name: optuna.distributions.IntDistribution(int(p.low), int(p.high), step=int(p.step))
            if p.type == "int"
            else optuna.distributions.FloatDistribution(p.low, p.high)
            for p in sweep.space.values()
        }
        for number in range(8):
            params = {**sweep.start_from[0], "model.threshold.final": 0.55 + number / 100}
            value = 60.0 - number
            study.add_trial(optuna.trial.create_trial(params=params, distributions=spaces, value=value))


def examples() -> list[doctest.DocTest]:
    """Every docstring with an example."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [
        test
        for name in (*MODULES, "dupl.runs.store", "dupl.method.base")
        for test in finder.find(importlib.import_module(name), name)
    ]
    return [test for test in found if test.examples]


@pytest.mark.parametrize("example", examples(), ids=lambda test: test.name.removeprefix("dupl.").removeprefix("api."))
def test_example(example, place, monkeypatch, capsys):
    if example.name == "dupl.api.tracking.workspace":
        pytest.importorskip("wandb_workspaces", reason='wandb-workspaces is not installed: pip install ".[workspaces]"')
    if example.name.startswith("dupl.api.evidence."):
        for package in ("rocrate", "mlcroissant"):
            pytest.importorskip(package, reason=f'{package} is not installed: pip install ".[evidence]"')
    monkeypatch.chdir(place)
    example.globs = {"dupl": dupl, "pathlib": pathlib, "RunStore": dupl.RunStore}
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    said: list[str] = []
    runner.run(example, out=said.append)
    assert not runner.failures, "".join(said)


def test_the_code_of_the_readme(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    text = (FIXTURES.parents[1] / "README.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    short = {
        "schedule.iterations": 4,
        "schedule.warmup": 1,
        "schedule.batch_size": 2,
        "schedule.images_per_loss": 2,
        "runtime.threads": 1,
        "data.val.count": 4,
    }
    short |= {"data.train": {"type": "Toy", "split": "train", "size": 64, "count": 8}}
    assert code.count('{"runtime.seed": 1}') == 1
    names: dict[str, object] = {}
    exec(code.replace('{"runtime.seed": 1}', repr(short)), names)
    assert names["run"].status.state == "finished"
    assert names["found"].mask.shape == (30, 40)
    assert "seg/best/mIoU" in set(dupl.RunStore("runs").frame()["metric"])
    assert "| + L_reg |" in capsys.readouterr().out


def test_the_reference_page_is_what_the_code_says():
    """Where it differs: python tools/api_reference.py."""
    command = [sys.executable, str(FIXTURES.parents[1] / "tools" / "api_reference.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_public_function_has_an_example():
    """Its docstring also names what it returns, its arguments and its errors where it has them."""
    shown = {test.name.rpartition(".")[2] for test in examples()}
    functions = {name for name in dupl.api.__all__ if inspect.isfunction(getattr(dupl.api, name))}
    assert functions - shown == {"open_store"}
