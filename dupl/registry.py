"""The registries of components and data sets. A class of your own joins by a decorator.

@COMPONENTS.register_module()
class MyFilter: ...
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.registry import Registry

from dupl.errors import UserError


class StrictRegistry(Registry):
    """A registry that builds only what was registered with it, and keeps the classes of this package.

    The base class imports the module that a name with dots points to, so that a recipe could run any function. It also
    lets ``force=True`` replace any class: stored runs of that name would then be something else, and plans, which know
    the shipped class alone, would share beginnings that differ.
    """

    def _register_module(self, module: Any, module_name: Any = None, force: bool = False) -> None:
        """Register a class; one of this package cannot be replaced by another one.

        Raises:
            KeyError: The name is taken.
        """
        names = [module_name or module.__name__] if isinstance(module_name, str | None) else module_name
        for name in names:
            known = self.module_dict.get(name)
            if known is not None and known.__module__.startswith("dupl."):
                raise KeyError(f"{name} is a class of this package, {known.__module__}: give yours a name of its own")
        super()._register_module(module, module_name, force)

    def get(self, key: str) -> Any:
        """Return the class that was registered by this name, or None."""
        self.import_from_location()
        return self.module_dict.get(key)

    def build(self, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        """Build the object that a dict with a ``type`` describes.

        Raises:
            KeyError: Nothing is registered by that name, or the dict has a ``_scope_``, which mmengine would import.
        """
        if isinstance(cfg, Mapping) and "_scope_" in cfg:
            raise KeyError("_scope_ has no meaning in a recipe: remove it")
        return super().build(cfg, *args, **kwargs)


def validate_registered(entries: Any, registry: Registry, where: str) -> None:
    """Check that mmengine can build all entries from what is registered, without importing anything for them.

    Args:
        entries: Dicts with a ``type``, as a recipe lists them.
        registry: The registry of mmengine that will build them.
        where: Dotted path of the entries in the recipe, for the message.

    Raises:
        UserError: An entry is not a dict, has an unknown ``type``, or has a ``_scope_``.
    """
    registry.import_from_location()
    for entry in entries:
        kind = entry.get("type") if isinstance(entry, Mapping) else entry
        if not isinstance(entry, Mapping) or kind not in registry.module_dict or "_scope_" in entry:
            raise UserError(f"{where}: no {registry.name} is registered as {kind!r}")


def build(registry: Registry, arguments: Mapping[str, Any], where: str) -> Any:
    """Build by ``type``; turn an error of the constructor into one line that names the place in the recipe.

    Args:
        registry: Where the type is registered.
        arguments: A dict with a ``type``.
        where: Dotted path of the arguments in the recipe, for the message.

    Raises:
        UserError: Nothing is registered by that name, or the class does not accept the arguments.
    """
    try:
        return registry.build(dict(arguments))
    except UserError:
        raise
    except (TypeError, ValueError, KeyError) as error:
        cause = error.__cause__ or error
        text = " ".join(str(cause.args[0] if cause.args else cause).split())
        if "is not in the" in text:
            known = ", ".join(sorted(registry.module_dict))
            text = f"no {registry.name} is called {text.split()[0]}: choose from {known}"
        raise UserError(f"{where}: {text}") from error


def class_names(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the class names of a recipe's section ``data``, background first.

    They come from its training set, or else its validation set, which is read only where neither its kind nor its
    arguments name them: a trained model is used where its data are not.

    Raises:
        UserError: The data set cannot be read.
    """
    if (stated := stated_classes(data)) is not None:
        return stated
    split = "train" if data.get("train") else "val"
    return tuple(build(DATASETS, data[split], f"data.{split}").classes)


def stated_classes(data: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the class names that the kind of a data set or its arguments state; None where its files say them.

    The set is that of training, or else that of validation.
    """
    entry = data["train"] if data.get("train") else data["val"]
    kind = DATASETS.get(entry["type"])
    if hasattr(kind, "named_classes") and (named := kind.named_classes(entry)):
        return tuple(named)
    fixed = getattr(kind, "classes", None)
    return fixed if isinstance(fixed, tuple) else None


COMPONENTS = StrictRegistry("component", scope="dupl", locations=["dupl.method"])
DATASETS = StrictRegistry("data set", scope="dupl", locations=["dupl.data"])
