"""A run's scalars and recipe in a repository of Aim."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dupl.engine.training.run_backend import FOLDER, RunBackend
from dupl.runs.run import Run


class AimBackend(RunBackend):
    """A run of Aim: in the repository that AIM_REPO names, else in one in the run's folder.

    Args:
        run: The run's folder.
        say: Prints one line.
        experiment: Name of the experiment.
        log_system_params: Whether the environment and the installed packages are kept too.
    """

    tracker = "aim"

    def __init__(
        self, run: Run, say: Callable[[str], None], experiment: str = "dupl", log_system_params: bool = False
    ) -> None:
        super().__init__(run, say)
        self.group, self.log_system_params = experiment, log_system_params
        self.aim_run: Any = None

    def open(self, known: str | None, recipe: dict[str, Any]) -> tuple[str, dict[str, int]]:
        """Begin a run, or resume it where the repository has it as one of this fingerprint."""
        import aim

        folder = os.environ.get("AIM_REPO") or str((self.run.path / FOLDER).resolve())
        Path(folder).mkdir(parents=True, exist_ok=True)
        repository = aim.Repo.from_path(folder, init=True)
        options: dict[str, Any] = dict(repo=repository, log_system_params=self.log_system_params)
        options |= dict(system_tracking_interval=None, capture_terminal_logs=False)
        mark = self.run.status.fingerprint
        self.aim_run = self._resume(aim, known, mark, options) if known in repository.list_all_runs() else None
        if self.aim_run is None:
            self.aim_run = aim.Run(experiment=self.group, **options)
            self.aim_run["hparams"] = recipe
            self.aim_run["dupl"] = {"fingerprint": mark, "folder": self.run.path.name}
        self.aim_run.name = self.name
        steps = {one.name: int(one.dataframe()["step"].max()) for one in self.aim_run.metrics()}
        return str(self.aim_run.hash), steps

    @staticmethod
    def _resume(aim: Any, known: str | None, mark: str, options: dict[str, Any]) -> Any:
        found = aim.Run(run_hash=known, force_resume=True, **options)  # whose lock a killed process left
        if (found.get("dupl") or {}).get("fingerprint") == mark:
            return found
        found.close()
        return None

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log scalars."""
        for key, value in values.items():
            self.aim_run.track(value, name=key, step=step)

    def end(self, state: str) -> None:
        """Close the run, and enter it into the repository's index, without which readers take it for active."""
        self.aim_run["dupl", "state"] = state
        repository, name = self.aim_run.repo, self.aim_run.hash
        self.aim_run.close()
        (Path(repository.path) / "meta" / "progress" / name).unlink(missing_ok=True)
        with suppress(ImportError):  # earlier versions of Aim do it when the run is closed
            from aim.sdk.index_manager import RepoIndexManager

            RepoIndexManager.get_index_manager(repository).index(name)
