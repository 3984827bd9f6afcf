"""Write the reference page of the Python API from its docstrings.

    python tools/api_reference.py [--check]

It writes ``docs/reference/api.md``; with --check it compares the page with the code.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dupl
import dupl.api

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "api.md"
MODULES = (
    "recipes",
    "training",
    "inference",
    "tables",
    "evidence",
    "power",
    "explanation",
    "analysis",
    "figures",
    "paper_figures",
    "sweeps",
    "execution",
)
MORE = ("store", "describe", "tracking", "machine")  # what the command line needs besides
HEAD = """# Python API

Everything here is imported from `dupl` or, where marked, from `dupl.api`; `import dupl` alone imports neither torch nor
pandas. `help(dupl.train)` shows arguments, shapes, units, errors and an example; the examples run in the tests. A wrong
argument, recipe or file raises `dupl.UserError` with one line that says what is wrong, where, and what to do;
a training that stops raises `dupl.RunError`. Charts are functions of `dupl.figures`. The equations and components of
the method are imported from `dupl.method`.

"""


def page() -> str:
    """Return the text of the page."""
    parts = [section(name) for name in MODULES]
    parts.append("## Classes\n\n" + "\n".join(classes()) + "\n")
    return HEAD + "\n".join([*parts, *(section(name) for name in MORE)])


def section(name: str) -> str:
    """Return the public functions of a module, one line each, below what the module is about."""
    module = importlib.import_module(f"dupl.api.{name}")
    title, _, rest = (inspect.getdoc(module) or "").partition(":")
    about = f"{rest.strip()[:1].upper()}{rest.strip()[1:]}" if rest else ""
    lines = [f"- `{call(f)}`  \n  {first(f)}" for f in functions(module)]
    return f"## {title.rstrip('.')}\n\n{about}\n\n".replace("\n\n\n\n", "\n\n") + "\n".join(lines) + "\n"


def functions(module: Any) -> Iterator[Any]:
    """Yield the public functions of a module in the order of its file."""
    public = module.__name__ == "dupl.api.figures"
    for name, value in vars(module).items():
        own = inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
        if own and (public or name in dupl.api.__all__):
            yield value


def call(function: Any) -> str:
    """Return how a function is called: where it is imported from, and its arguments without their types."""
    name = function.__name__
    drawing = function.__module__ == "dupl.api.figures" or name == "write_paper_figure"
    where = "dupl.figures" if drawing else "dupl" if name in dupl.__all__ else "dupl.api"
    signature = inspect.signature(function)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return f"{where}.{name}{signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)}"


def first(thing: Any) -> str:
    """Return the first line of a docstring."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def classes() -> Iterator[str]:
    """Yield the public classes that are in `dupl` itself, one line each."""
    for name in dupl.__all__:
        value = getattr(dupl, name)
        if inspect.isclass(value):
            yield f"- `dupl.{name}`  \n  {first(value)}"


def main(check: bool) -> int:
    """Write the page, or say that it differs from the code."""
    text = page()
    if check and PAGE.read_text(encoding="utf-8") != text:
        print(f"{PAGE} is not what the code says: python tools/api_reference.py", file=sys.stderr)
        return 1
    if not check:
        PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
