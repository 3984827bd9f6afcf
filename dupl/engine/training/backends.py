"""Build the further trackers of a run: mmengine's backends, with classes of our own for MLflow and Aim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dupl.config.text import plain
from dupl.engine.training.aim_backend import AimBackend
from dupl.engine.training.mlflow_backend import MLflowBackend
from dupl.engine.training.run_backend import RunBackend
from dupl.runs.run import Run

OWN: dict[str, type[RunBackend]] = {"MLflowVisBackend": MLflowBackend, "AimVisBackend": AimBackend}


def build_backends(entries: Any, run: Run, say: Callable[[str], None]) -> list[Any]:
    """Return the backends of a recipe, as mmengine's visualizer takes them.

    Args:
        entries: The recipe's ``runtime.vis_backends``, which `dupl.track.backends.check_backends` has checked.
        run: The run's folder.
        say: Prints one line where a tracker fails.
    """
    found: list[Any] = []
    for entry in entries:
        arguments = {key: value for key, value in plain(entry).items() if key != "type"}
        known = OWN.get(entry["type"])
        found.append(dict(entry) if known is None else known(run, say, **arguments))
    return found
