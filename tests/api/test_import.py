"""What ``import dupl`` costs, and what it offers."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import typing

import pytest

import dupl
import dupl.api

HEAVY = {
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "pandas",
    "optuna",
    "mmengine",
    "wandb",
    "plotly",
    "matplotlib",
    "rich",
}
LIGHT = ("import dupl", "import dupl; dir(dupl); dupl.api; dupl.figures; dupl.train; dupl.UserError", "import dupl.cli")


def modules(code: str) -> tuple[set[str], float]:
    """Top-level modules that a fresh interpreter has after some code, and the CPU seconds that the code took."""
    text = f"import sys, time, json; t = time.process_time(); {code}\nt = time.process_time() - t"
    text += "\nprint(json.dumps([t, sorted({name.partition('.')[0] for name in sys.modules})]))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    seconds, names = json.loads(done.stdout)
    return set(names), seconds


@pytest.mark.parametrize("code", LIGHT)
def test_nothing_heavy_is_imported(code):
    found, seconds = modules(code)
    assert found & HEAVY == set()
    assert seconds < 0.3


@pytest.mark.parametrize("name", [n for n in dupl.__all__ if n not in ("DuPL", "Prediction")])
def test_every_public_name_is_there_without_torch(name):
    found, _ = modules(f"import dupl; dupl.{name}")
    assert "torch" not in found


def test_a_name_that_is_none():
    with pytest.raises(AttributeError, match="module 'dupl' has no attribute 'lod_recipe'"):
        dupl.lod_recipe  # noqa: B018
    assert set(dupl.__all__) <= set(dir(dupl))


def test_public_names_are_typed_and_the_same_for_type_checkers():
    """`__all__` and the imports under TYPE_CHECKING name the same, and every function is annotated in full."""
    source = inspect.getsource(dupl)
    block = source[source.index("if TYPE_CHECKING") : source.index("__all__")]
    named = {word.strip(" ,()") for word in block.replace("import", ",").replace("\n", ",").split(",")}
    assert set(dupl.__all__) <= named
    assert set(dupl.__all__) - {"api", "RunError", "UserError"} <= set(dupl.api.__all__)
    for name in dupl.api.__all__:
        function = getattr(dupl.api, name)
        if inspect.isfunction(function):
            signature = inspect.signature(function)
            assert signature.return_annotation is not inspect.Signature.empty, name
            assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values()), name


def test_the_method_is_imported_by_its_own_names():
    from dupl.method import equations
    from dupl.method.noise_filter import MixtureFilter

    assert callable(equations.total)
    assert dupl.DuPL.__name__ == "DuPL" and MixtureFilter is not None
    assert typing.get_type_hints(dupl.DuPL.predict)
