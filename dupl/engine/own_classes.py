"""Print what the classes of some modules say of themselves: arguments, start, null partner.

    python -m dupl.engine.own_classes MODULE...

The last line of the output is JSON, by the name of the class. Planning runs this in a process of its own, as it imports
neither torch nor a recipe's modules.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Sequence

from dupl.config.components import RegisteredClass, component_data, shipped
from dupl.registry import COMPONENTS, DATASETS


def main(names: Sequence[str]) -> None:
    """Import modules and describe the classes that they register."""
    for name in names:
        importlib.import_module(name)
    kinds = {**COMPONENTS.module_dict, **DATASETS.module_dict}
    own = {name: component_data(RegisteredClass.of(kind)) for name, kind in kinds.items() if name not in shipped()}
    print("\n" + json.dumps(own))


if __name__ == "__main__":
    main(sys.argv[1:])
