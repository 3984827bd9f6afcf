"""Where components and data sets are looked up by name; a user's own class joins with a decorator.

@COMPONENTS.register_module()
class MyFilter: ...
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.registry import Registry

from dupl.errors import UserError


class Names(Registry):
    """A registry of what was registered, and of nothing else.

    mmengine's own imports whatever a name with dots points to, so that a recipe of literals could run any function.
    """

    def get(self, key: str) -> Any:
        """What was registered by this name; None where nothing was."""
        self.import_from_location()
        return self.module_dict.get(key)

    def build(self, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        """What a dict with a ``type`` describes.

        Raises:
            KeyError: Nothing is registered by that name; or it names a scope, whose module mmengine would import.
        """
        if isinstance(cfg, Mapping) and "_scope_" in cfg:
            raise KeyError("_scope_ means nothing here: take it out")
        return super().build(cfg, *args, **kwargs)


def prove_registered(entries: Any, registry: Registry, where: str) -> None:
    """Know that mmengine will build what was registered with it, and import nothing for that.

    Args:
        entries: Dicts with a ``type``, as a recipe lists them.
        registry: Of mmengine.
        where: The place in the recipe.

    Raises:
        UserError: One has another type, or a scope.
    """
    registry.import_from_location()
    for entry in entries:
        kind = entry.get("type") if isinstance(entry, Mapping) else entry
        if not isinstance(entry, Mapping) or kind not in registry.module_dict or "_scope_" in entry:
            raise UserError(f"{where}: no {registry.name} is registered as {kind!r}")


COMPONENTS = Names("component", scope="dupl", locations=["dupl.method"])
DATASETS = Names("data set", scope="dupl", locations=["dupl.data"])
