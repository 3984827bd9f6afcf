"""Find how many iterations two configs train alike: what of a config can act before an iteration.

A component that starts late does nothing before its ``start``, so configs that differ only in such components are the
same training until the first of them acts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dupl.config import components
from dupl.config.fingerprint import canonical, counted
from dupl.config.kinds import Slot


def prefix(config: Mapping[str, Any], t: int) -> dict[str, Any]:
    """Return the part of a config that can act before iteration ``t``.

    Components that act at ``t`` or later are left out, with the weights of their losses. Everything else counts: the
    data, the schedule with its length T, the seed, and every class that is neither shipped nor registered here.

    Args:
        config: A resolved config.
        t: An iteration, at least 0.
    """
    values = counted(config)
    return values | {"model": _acting(values.get("model", {}), t)}


def beginnings(config: Mapping[str, Any]) -> dict[int, str]:
    """Digest what of a config can act before each iteration at which that changes.

    Args:
        config: A resolved config.

    Returns:
        12 hexadecimal digits by iteration, in order, the last one being T: the digest at t is that of every iteration
        after the one before, up to t.
    """
    values = counted(config)
    model = values.pop("model", {})
    rest = hashlib.sha256(canonical(values).encode())
    found = {}
    for t in (*forks(config), _length(config)):
        whole = rest.copy()
        whole.update(canonical(_acting(model, t)).encode())
        found[t] = whole.hexdigest()[:12]
    return found


def common(one: Mapping[int, str], other: Mapping[int, str]) -> int:
    """Return how many iterations, counted from the first, two runs train alike; 0 where none.

    Args:
        one: The ``beginnings`` of a run.
        other: Those of another one.
    """
    shared, last = 0, min(max(one), max(other))
    for t in sorted({*one, *other}):
        if t > last or at(one, t) != at(other, t):
            break
        shared = t
    return shared


def at(digests: Mapping[int, str], t: int) -> str:
    """Return the digest of what can act before iteration ``t``.

    Args:
        digests: The ``beginnings`` of a run.
        t: An iteration, at most the last one of them.
    """
    return digests[min(each for each in digests if each >= t)]


def forks(config: Mapping[str, Any]) -> list[int]:
    """Return the iterations after the first at which a further component begins to act, in order."""
    model = config.get("model", {})
    firsts = {acts_from(model, slot) for slot in _slots(model)}
    return sorted(t for t in firsts if t is not None and 0 < t < _length(config))


def first_effects(config: Mapping[str, Any], paths: Iterable[str]) -> list[int]:
    """Return the iterations after the first at which the components that some paths change begin to act, in order.

    Args:
        config: A resolved config.
        paths: Paths of values, such as "model.noise_filter.gamma" or "model.weights.reg".
    """
    model, found = config.get("model", {}), set()
    parts = [path.split(".") for path in paths]
    for slot in _slots(model):
        if ["model", slot.name] in (part[:2] for part in parts) or ["model", "weights", slot.weight] in parts:
            found.add(acts_from(model, slot))
    return sorted(t for t in found if t is not None and 0 < t < _length(config))


def acts_from(model: Mapping[str, Any], slot: Slot) -> int | None:
    """Return the first iteration at which the component in a slot acts; None where it never does.

    Args:
        model: The section of that name.
        slot: One of its slots.
    """
    config = model.get(slot.name)
    if not isinstance(config, Mapping):
        return None if slot.optional else 0
    component = components.find(str(config.get("type")))
    if component is None or component.stateful:
        return 0
    if component.null and not component.section.fields.keys() - {"start"}:  # a fixed threshold has a value, and acts
        return None
    field = component.section.fields.get("start")
    first = int(config.get("start", field.default)) if field is not None else 0
    used = _used_from(model, slot.after)
    return None if used is None else max(first, used)


def _used_from(model: Mapping[str, Any], after: Sequence[str]) -> int | None:
    """Return when the first of the components in some slots acts: 0 without any slot, None where none ever acts."""
    if not after:
        return 0
    others = [acts_from(model, each) for each in _slots(model) if each.name in after]
    return min((begin for begin in others if begin is not None), default=None)


def _slots(model: Mapping[str, Any]) -> tuple[Slot, ...]:
    """Return the slots of a method that says when they act; none of another one, which acts as a whole."""
    known = components.find(str(model.get("type")))
    return () if known is None or known.inherits else known.slots


def _acting(model: Mapping[str, Any], t: int) -> dict[str, Any]:
    """Return the part of a model's config that can act before iteration ``t``."""
    kept = dict(model)
    for slot in _slots(model):
        first = acts_from(model, slot)
        if first is not None and first < t:
            continue
        held = kept.pop(slot.name, None)
        used = _used_from(model, slot.after)
        if first is not None and used is not None and used < t and (early := _early(held)):
            kept[slot.name] = early
        if isinstance(kept.get("weights"), dict):
            kept["weights"] = {term: weight for term, weight in kept["weights"].items() if term != slot.weight}
    method = components.find(str(model.get("type")))
    for name, after in method.used_with.items() if method is not None and not method.inherits else ():
        used = _used_from(model, after)
        if used is None or used >= t:
            kept.pop(name, None)
    return kept


def _early(config: Any) -> dict[str, Any]:
    """Return the type and the arguments of a component that act before its start; empty where none do."""
    component = components.find(str(config["type"]))
    names = component.early if component is not None else ()
    return {key: value for key, value in config.items() if names and key in ("type", *names)}


def _length(config: Mapping[str, Any]) -> int:
    return int(config["schedule"]["iterations"])
