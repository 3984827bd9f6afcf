"""A backend of mmengine's visualizer that keeps one run of a tracker for a run of ours."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from mmengine.visualization import BaseVisBackend

from dupl.config.text import plain
from dupl.runs import layout
from dupl.runs.run import Run
from dupl.track.choice import names

FOLDER = "logs"  # of a run: where trackers write unless the user's environment says otherwise


class RunBackend(BaseVisBackend):
    """A tracker that keeps one run for a run of ours. A failure of it is printed once, and training goes on.

    Args:
        run: The run's folder.
        say: Prints one line.
    """

    tracker = ""

    def __init__(self, run: Run, say: Callable[[str], None]) -> None:
        self.run, self.say, self.told, self.opened = run, say, False, False
        folder = run.path.name
        called = names(folder, run.status.seed, ()).name if run.exists() else folder
        self.name = called if folder in called else f"{called} ({folder})"  # two plans may have a row of one name
        self.before: dict[str, int] = {}

    experiment = None

    def _init_env(self) -> None:
        """Set up nothing: the run is opened with the recipe."""

    def add_config(self, config: Any, **_: Any) -> None:
        """Begin the run with the resolved recipe, or resume it."""
        self._guard(lambda: self._begin(plain(config)))

    def _begin(self, recipe: dict[str, Any]) -> None:
        known = self._known()
        identity, self.before = self.open(known.get(self.tracker), recipe)
        self.opened = True
        self.run.write_json(layout.TRACKERS, {**known, self.tracker: identity})
        self.say(f"{self.tracker}: {self.name}, id {identity}")

    def _known(self) -> dict[str, str]:
        """Return the ids under which trackers know the run; anyone may have written the file."""
        try:
            known = json.loads((self.run.path / layout.TRACKERS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        known = known if isinstance(known, dict) else {}
        return {str(name): one for name, one in known.items() if isinstance(one, str) and one.isalnum()}

    def add_scalars(
        self, scalar_dict: Mapping[str, Any], step: int = 0, file_path: str | None = None, **_: Any
    ) -> None:
        """Log scalars; those that an earlier attempt has logged for this step are left out."""
        values = {name: float(value) for name, value in scalar_dict.items()}
        new = {k: v for k, v in values.items() if math.isfinite(v) and step > self.before.get(k, -1)}
        if self.opened and new:
            self._guard(lambda: self.log(new, step))

    def finish(self, state: str) -> None:
        """Close the run.

        Args:
            state: How training ended: "finished", "interrupted" or "failed".
        """
        if self.opened:
            self.opened = False
            self._guard(lambda: self.end(state))

    def open(self, known: str | None, recipe: dict[str, Any]) -> tuple[str, dict[str, int]]:
        """Begin a run, or resume the one of a known id.

        Returns:
            Its id, and the last step that it has of each scalar.
        """
        raise NotImplementedError

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log scalars."""
        raise NotImplementedError

    def end(self, state: str) -> None:
        """Close the run."""
        raise NotImplementedError

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            if not self.told:
                self.told = True
                self.say(f"{self.tracker}: {type(error).__name__}: {' '.join(str(error).split())} (training goes on)")
