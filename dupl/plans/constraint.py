"""Constraints of a sweep: relations that every trial keeps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dupl.config.check import suggestion
from dupl.config.kinds import Fault
from dupl.plans.parameter import NUMBER, Parameter, at

if TYPE_CHECKING:
    from mmengine.config import Config

RELATION = re.compile(r"\s+(<=|<|>=|>)\s+")


@dataclass(frozen=True)
class Constraint:
    """A relation that every config keeps, such as "model.threshold.final <= model.threshold.initial".

    Attributes:
        text: The constraint as written.
        left, right: Paths, names of parameters, or numbers.
        relation: <=, <, >= or >.
    """

    text: str
    left: str
    relation: str
    right: str

    def violation(self, config: Config, params: Mapping[str, Any]) -> float:
        """Return by how much it is broken; 0 or less where it is kept, or where a side is not in this config."""
        left, right = _operand(self.left, config, params), _operand(self.right, config, params)
        if left is None or right is None:
            return 0.0
        excess = left - right if self.relation.startswith("<") else right - left
        strict = excess == 0 and not self.relation.endswith("=")
        return 1e-12 if strict else excess


def _operand(text: str, config: Config, params: Mapping[str, Any]) -> float | None:
    try:
        return float(text)
    except ValueError:
        value = params[text] if text in params else at(config, text)
    return float(value) if type(value) in NUMBER else None


def read_constraints(texts: Sequence[Any], space: Mapping[str, Parameter], base: Config) -> tuple[Constraint, ...]:
    """Return the constraints of a sweep file.

    Raises:
        Fault: One is not a relation between known paths, parameters or numbers.
    """
    found = []
    moved = {path for parameter in space.values() for path in parameter.paths}
    for text in texts:
        parts = RELATION.split(text.strip()) if isinstance(text, str) else []
        if len(parts) != 3:
            advice = "write a relation, such as model.threshold.final <= 0.7"
            raise Fault("constraints", advice, about=f"constraint {text!r}:")
        for part in (parts[0], parts[2]):
            known = part in space or part in moved or at(base, part) is not None
            if not known and not re.fullmatch(r"[-+.\deE]+", part):
                about = f"constraint {text!r} names no path or parameter"
                raise Fault("constraints", f"{part!r}{suggestion(part, [*space, *moved])}", about=about)
        found.append(Constraint(text, *parts))
    return tuple(found)
