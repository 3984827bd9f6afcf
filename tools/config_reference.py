"""Write the catalogue of components and the reference page of the config from the code.

    python tools/config_reference.py [--check]

It writes ``dupl/config/components.json`` and ``docs/reference/config.md``; with --check it compares them with the code.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dupl import data, method  # noqa: F401  (they register their classes)
from dupl.config import components
from dupl.config.components import FILE, RegisteredClass, component_data
from dupl.config.describe import describe
from dupl.config.reference import markdown
from dupl.data.contrast_augment import ContrastAugment
from dupl.data.transforms import WeakAugment
from dupl.plans.plan_file import PlanFile
from dupl.plans.sweep_file import SweepFile
from dupl.registry import COMPONENTS, DATASETS

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "config.md"


def catalogue() -> dict[str, Any]:
    """Return the registered classes of this package as plain data."""
    plain = {kind.__name__: kind for kind in (WeakAugment, ContrastAugment)}
    found = {name: RegisteredClass(describe(kind), "") for name, kind in plain.items()}
    for name, kind in COMPONENTS.module_dict.items():
        found[name] = RegisteredClass.of(kind, slot_of(kind))
    for name, kind in DATASETS.module_dict.items():
        found[name] = RegisteredClass(describe(kind), "data set")
    ours = {**plain, **COMPONENTS.module_dict, **DATASETS.module_dict}
    return {name: component_data(found[name]) for name in sorted(found) if ours[name].__module__.startswith("dupl.")}


def slot_of(kind: Any) -> str:
    """Return the slot of a component: the module that it is in; whole models share one."""
    return "model" if hasattr(kind, "loss") else str(kind.__module__.rpartition(".")[2])


def catalogue_text() -> str:
    """Return the text of ``components.json``: one argument a line."""
    blocks = []
    for name, entry in catalogue().items():
        section = entry["section"]
        fields = ",\n".join(f"  {_json(key)}: {_json(field)}" for key, field in section["fields"].items())
        head = ", ".join(f"{_json(key)}: {_json(value)}" for key, value in entry.items() if key != "section")
        facts = ", ".join(f"{_json(key)}: {_json(value)}" for key, value in section.items() if key != "fields")
        blocks.append(f'{_json(name)}: {{{head}, "section": {{{facts}, "fields": {{\n{fields}\n}}}}}}')
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def main(check: bool) -> int:
    """Write both files, or say which of them differs from the code."""
    for file, make in ((FILE, catalogue_text), (PAGE, lambda: markdown({"plan": PlanFile, "sweep": SweepFile}))):
        text = make()
        if check and file.read_text(encoding="utf-8") != text:
            print(f"{file} is not what the code says: python tools/config_reference.py", file=sys.stderr)
            return 1
        if not check:
            file.write_text(text, encoding="utf-8")
            components.shipped.cache_clear()
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
