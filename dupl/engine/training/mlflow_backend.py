"""A run's scalars and recipe on MLflow."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from dupl.engine.training.run_backend import FOLDER, RunBackend
from dupl.runs.run import Run

LONGEST = 500  # characters of a parameter's value


class MLflowBackend(RunBackend):
    """A run on MLflow: at MLFLOW_TRACKING_URI, else in a database in the run's folder.

    Args:
        run: The run's folder.
        say: Prints one line.
        exp_name: The experiment.
        tags: Tags of the run.
    """

    tracker = "mlflow"

    def __init__(
        self, run: Run, say: Callable[[str], None], exp_name: str = "dupl", tags: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(run, say)
        self.exp_name, self.tags = exp_name, dict(tags or {})

    def open(self, known: str | None, recipe: dict[str, Any]) -> tuple[str, dict[str, int]]:
        """Begin a run, or resume it where the server knows it as one of this fingerprint."""
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        folder = (self.run.path / FOLDER).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        self.client = MlflowClient(uri or f"sqlite:///{folder / 'mlflow.db'}")
        mark = {"dupl.fingerprint": self.run.status.fingerprint}
        if known is not None:
            try:
                found = self.client.get_run(known)
            except MlflowException:
                found = None
            if found is not None and mark.items() <= found.data.tags.items():
                self.id = known
                self.client.update_run(known, status="RUNNING", name=self.name)
                return known, {key: self._last_step(key) for key in found.data.metrics}
        place = None if uri else (folder / "mlflow").as_uri()
        experiment = self.client.get_experiment_by_name(self.exp_name)
        number = experiment.experiment_id if experiment else self.client.create_experiment(self.exp_name, place)
        tags = {**{str(key): str(value) for key, value in self.tags.items()}, **mark, "dupl.folder": self.run.path.name}
        self.id = str(self.client.create_run(number, tags=tags, run_name=self.name).info.run_id)
        for key, value in _flat(recipe):
            self.client.log_param(self.id, key, str(value)[:LONGEST])
        if uri:  # the database of a run's folder may have come with it, and says where files go
            self.client.log_artifact(self.id, str(self.run.config_path))
        return self.id, {}

    def _last_step(self, key: str) -> int:
        return max((metric.step for metric in self.client.get_metric_history(self.id, key)), default=-1)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log scalars."""
        from mlflow.entities import Metric

        now = round(time.time() * 1000)
        self.client.log_batch(self.id, [Metric(key, value, now, step) for key, value in values.items()])

    def end(self, state: str) -> None:
        """Close the run."""
        ended = {"finished": "FINISHED", "interrupted": "KILLED"}.get(state, "FAILED")
        self.client.set_terminated(self.id, ended)


def _flat(values: Any, path: str = "") -> list[tuple[str, Any]]:
    """Return the values of a recipe by dotted path."""
    if isinstance(values, dict) and values:
        return [one for key, item in values.items() for one in _flat(item, f"{path}.{key}" if path else str(key))]
    return [(path, values)]
