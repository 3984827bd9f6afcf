"""Components of your own: imported by commands that build a model, and checked by their signature."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from dupl.cli import main
from dupl.engine.custom_imports import modules_digest
from dupl.registry import COMPONENTS

MODULE = """
from typing import Annotated
from dupl.config.kinds import In
from dupl.method.component import Component
from dupl.registry import COMPONENTS


@COMPONENTS.register_module()
class LargeLoss(Component):
    def __init__(self, bound: Annotated[float, In("(0, inf)")] = 3.0, start: int = 0) -> None:
        super().__init__(start)
"""


@pytest.fixture
def recipe(tiny, tmp_path, monkeypatch):
    """Write a recipe with a component of its own that is given these arguments."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("large_loss_parts.py").write_text(MODULE)

    def write(arguments: str, module: str = "large_loss_parts") -> str:
        own = f"dict(\n    _delete_=True, type='LargeLoss', {arguments})"
        text = f"_base_ = [{tiny!r}]\ncustom_imports = dict(imports=[{module!r}])\nmodel = dict(noise_filter={own})\n"
        Path("mine.py").write_text(text)
        return str(tmp_path / "mine.py")

    yield write
    sys.modules.pop("large_loss_parts", None)
    COMPONENTS.module_dict.pop("LargeLoss", None)


def test_show_does_not_import_it(recipe, capsys):
    assert main(["show", recipe("bound=1")]) == 0
    assert "ANF          ?    LargeLoss(bound=1)" in capsys.readouterr().out
    assert "large_loss_parts" not in sys.modules


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("bnd=1", "model.noise_filter.bnd is unknown to LargeLoss; did you mean bound?"),
        ("bound=0", "model.noise_filter.bound is 0: give a number above 0"),
        ("bound='x'", "model.noise_filter.bound is 'x': give a number above 0"),
    ],
)
def test_what_it_is_given_is_checked_before_training(recipe, capsys, arguments, message):
    path = recipe(arguments)
    assert main(["train", path, "--work-dir", "run"]) == 2
    imported, fault = capsys.readouterr().err.splitlines()
    assert (
        fault == f"dupl: {path}, line 4: {message}" and "imports large_loss_parts from the recipe's folder" in imported
    )
    assert not Path("run").exists()


def test_a_module_that_is_not_there(recipe, capsys):
    path = recipe("bound=1", module="no_such_parts")
    assert main(["train", path, "--work-dir", "run"]) == 2
    assert f"{path}: custom_imports: ModuleNotFoundError: No module named 'no_such_parts'" in capsys.readouterr().err


def test_a_type_that_the_module_does_not_register(recipe, capsys):
    path = recipe("bound=1")
    text = Path(path).read_text()
    Path(path).write_text(text.replace("LargeLoss", "LargerLoss"))
    assert main(["train", path, "--work-dir", "run"]) == 2
    assert "line 4: model.noise_filter.type is 'LargerLoss', which is no noise filter" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["force=True", "name='MixtureFilter', force=True", "name=['Mine', 'MixtureFilter']"])
def test_a_class_of_the_package_cannot_be_replaced(recipe, capsys, how):
    """Plans know the shipped class alone, and would share a beginning that the other one trains otherwise."""
    path = recipe("bound=1")
    own = Path("large_loss_parts.py").read_text().replace("LargeLoss", "MixtureFilter")
    Path("large_loss_parts.py").write_text(own.replace("register_module()", f"register_module({how})"))
    shipped = COMPONENTS.get("MixtureFilter")
    assert main(["train", path, "--work-dir", "run"]) == 2
    err = capsys.readouterr().err
    assert "MixtureFilter is a class of this package, dupl.method.noise_filter: give yours a name of its own" in err
    assert COMPONENTS.get("MixtureFilter") is shipped and COMPONENTS.get("Mine") is None


def test_the_digest_of_modules_follows_their_files(tmp_path, monkeypatch):
    """A module by its file, a package by all of its files; a recipe without imports has no digest."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "digest_parts.py").write_text("A = 1\n")
    package = tmp_path / "digest_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "deep.py").write_text("B = 1\n")
    config = Config(dict(custom_imports=dict(imports=["digest_parts", "digest_package"])))
    for name in ("digest_parts", "digest_package"):
        importlib.import_module(name)
    found = [modules_digest(config)]
    for file in (tmp_path / "digest_parts.py", package / "deep.py"):
        file.write_text("C = 2\n")
        found.append(modules_digest(config))
    assert None not in found and len(set(found)) == 3
    assert modules_digest(Config({})) is None
    for name in ("digest_parts", "digest_package"):
        sys.modules.pop(name)
