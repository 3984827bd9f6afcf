"""A parameter of a sweep: its values, and how it changes a config."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dupl.config.fingerprint import canonical
from dupl.config.kinds import Fault

if TYPE_CHECKING:
    from optuna import Trial

Choice = str | int | float | bool | None


Params = dict[str, Any]


NUMBER = (int, float)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a sweep.

    Attributes:
        name: Unique in the sweep; the path of the config where it changes one value.
        label: Label in reports.
        type: "float", "int" or "categorical".
        paths: Paths of the config that take its value, all the same.
        low, high: Bounds, both included; None where it is categorical.
        step: Distance between two values; None where any value is allowed.
        log: Whether values are drawn on a log scale.
        choices: Pairs of the name that Optuna knows and the value, which may be any literal, such as a component.
        when: Conditions: it is drawn only where each of these parameters has one of the values.
    """

    name: str
    label: str
    type: str
    paths: tuple[str, ...]
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    choices: tuple[tuple[Choice, Any], ...] = ()
    when: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def asked(self, params: Mapping[str, Any]) -> bool:
        """Return whether its conditions hold for the parameters before it."""
        return all(name in params and params[name] in values for name, values in self.when.items())

    def suggest(self, trial: Trial) -> Any:
        """Draw its value in a trial."""
        if self.type == "categorical":
            return trial.suggest_categorical(self.name, [choice for choice, _ in self.choices])
        assert self.low is not None and self.high is not None
        if self.type == "int":
            return trial.suggest_int(self.name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)

    def value(self, chosen: Any) -> Any:
        """Return the value of the config for what Optuna chose."""
        return dict(self.choices)[chosen] if self.type == "categorical" else chosen

    def chosen(self, value: Any) -> Any:
        """Return what Optuna chose for a value of the config, the inverse of `value`.

        Raises:
            Fault: The value lies outside the space.
        """
        if self.type == "categorical":
            for choice, other in self.choices:
                if canonical(other) == canonical(value):
                    return choice
        elif type(value) in NUMBER and self._holds(value):
            return float(value) if self.type == "float" else int(value)
        text = f"{value!r} lies outside {self.told()}; widen it, or change start_from"
        raise Fault(f"space.{self.name}", text, about=f"{self.name}:")

    def _holds(self, value: float) -> bool:
        assert self.low is not None and self.high is not None
        steps = (value - self.low) / self.step if self.step else 0.0
        whole = value == int(value) if self.type == "int" else True
        return self.low <= value <= self.high and whole and math.isclose(steps, round(steps), abs_tol=1e-8)

    def told(self) -> str:
        """Describe its values: "0.1 to 0.9 by 0.1, log"."""
        if self.type == "categorical":
            return "{" + ", ".join(str(choice) for choice, _ in self.choices) + "}"
        text = f"{self.low:g} to {self.high:g}"
        return text + (f" by {self.step:g}" if self.step else "") + (", log" if self.log else "")

    def grid(self, points: int | None) -> list[Any]:
        """Return its values on a grid: every choice, every step, or a number of values from low to high.

        Raises:
            Fault: It has neither choices nor steps, and no number is given.
        """
        if self.type == "categorical":
            return [choice for choice, _ in self.choices]
        assert self.low is not None and self.high is not None
        if self.step:
            count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
            values = [round(self.low + i * self.step, 12) for i in range(count)]
        elif points is None or points < 2:
            raise Fault(f"space.{self.name}", "needs a step for the grid, or points=N (2 or more) in the sampler")
        elif self.log:
            ratio = self.high / self.low
            values = [min(self.high, self.low * ratio ** (i / (points - 1))) for i in range(points)]
        else:
            values = [self.low + (self.high - self.low) * i / (points - 1) for i in range(points)]
        return list(dict.fromkeys(round(v) for v in values)) if self.type == "int" else values


def at(config: Any, path: str) -> Any:
    """Return the value at a path of a config; None where there is none."""
    node = config
    for key in path.split("."):
        if isinstance(node, Mapping) or hasattr(node, "to_dict"):
            node = node.get(key)
        elif isinstance(node, (list, tuple)) and key.isdecimal() and int(key) < len(node):
            node = node[int(key)]
        else:
            return None
    return node
