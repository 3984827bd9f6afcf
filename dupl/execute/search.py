"""A sweep as a command runs it: open the study, fill it with trials, bring them to their end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.config.batch import plan_batch
from dupl.data.identity import identify
from dupl.errors import RunError, UserError
from dupl.execute.resources import Resources
from dupl.execute.scheduler import Rules
from dupl.execute.sweep import carry_out, counts, prepare
from dupl.execute.tracking import tracking_variables
from dupl.execute.trial import News
from dupl.plans.describe import describe_search
from dupl.plans.patience import given_up
from dupl.plans.samplers import quiet_optuna
from dupl.plans.study import best_trials, default_url, open_storage, open_study
from dupl.plans.sweep import Sweep
from dupl.runs.store import RunStore
from dupl.terminal import counted, without_passwords

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage


@dataclass(frozen=True)
class Search:
    """A sweep with its study, ready to run.

    Attributes:
        sweep: The sweep.
        study: Its study.
        storage: Of the study.
        address: Of the storage, without a password.
        root: The store.
        trials: How many there are to be in all.
        resources: Where runs are executed.
        rules: When to try again and when to stop.
        env: Variables of the environment of its runs.
    """

    sweep: Sweep
    study: Study
    storage: BaseStorage
    address: str
    root: Path
    trials: int
    resources: Resources
    rules: Rules
    env: Mapping[str, str] = field(default_factory=dict)

    def tracked(self, mode: str | None) -> Search:
        """Return the same, with the trials told whether to track themselves; None leaves that to the environment."""
        return self if mode is None else replace(self, env={**self.env, **tracking_variables(mode)})

    @classmethod
    def open(
        cls,
        sweep: Sweep,
        root: str | Path,
        *,
        storage: str | None = None,
        trials: int | None = None,
        resume: bool = False,
        resources: Resources | None = None,
        rules: Rules | None = None,
    ) -> Search:
        """Open the study of a sweep, creating it where there is none.

        Args:
            sweep: The sweep.
            root: The store.
            storage: URL of the study; None is SQLite in the store.
            trials: How many there are to be in all; None is what the sweep says.
            resume: Whether a study that has trials already is continued, or joined.
            resources: Where runs are executed.
            rules: When to try again and when to stop.

        Raises:
            UserError: The storage cannot be reached, or it has trials and ``resume`` is not set, or trials on other
                data.
        """
        if "images_per_loss" in sweep.config.schedule:
            plan_batch(sweep.config.schedule, (resources.gpus_per_run if resources else None) or 1)
        url = storage or default_url(sweep, root)
        shown = without_passwords(url)
        with quiet_optuna():
            opened = open_storage(url)
            study = open_study(sweep, opened, root, create=True)
        if (found := len(study.get_trials(deepcopy=False))) and not resume:
            raise UserError(
                f"study {sweep.study} has {found} trials at {shown}: resume=True (--continue) goes on or joins"
            )
        check_data(sweep, study)
        resources, wanted = resources or Resources(), trials or sweep.trials
        return cls(sweep, study, opened, shown, Path(root), wanted, resources, rules or Rules())

    def run(
        self,
        tell: Callable[[News], None] = lambda news: None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> str | None:
        """Run trials until all have ended.

        Args:
            tell: Called with everything that happens to a trial.
            progress: Called with the trials ended and in all.

        Returns:
            Why it ended before that: "interrupted", or a line. None where it did not.

        Raises:
            RunError: The storage of the study failed.
        """
        executors = self.resources.split()

        def note(news: News) -> None:
            tell(news)
            progress(*done_of(self.study))

        limit = int(self.rules.max_failed * self.trials)
        with quiet_optuna():
            prepare(self.sweep, self.study, self.root, self.trials, self.rules.ttl)
            progress(*done_of(self.study))
            return carry_out(
                self.sweep, self.storage, self.root, executors, self.rules, note, max_failed=limit, env=self.env
            )

    def outcome(self) -> list[str]:
        """Return how many trials ended how, the best points, and why some failed, as lines.

        Where the work was ended while the storage did not answer, one line says so.
        """
        if line := given_up(self.storage):
            return [f"{line}: what became of the trials is not known here; --continue goes on with them"]
        found = counts(self.study)
        lines = [f"{counted(sum(found.values()), 'trial')}: " + ", ".join(f"{n} {state}" for state, n in found.items())]
        for trial in best_trials(self.sweep, self.study)[:5]:
            values = ", ".join(f"{m} {v:.4g}" for (m, _), v in zip(self.sweep.goal, trial.values, strict=True))
            lines.append(f"trial {trial.number}: {values}  {self.sweep.run(trial.params).row}")
        failed = (trial for trial in self.study.get_trials(deepcopy=False) if trial.state.name == "FAIL")
        return [*lines, *(f"failed: trial {trial.number}: {trial.user_attrs.get('reason', '')}" for trial in failed)]

    def check(self, stopped: str | None) -> None:
        """Raise what a command reports where the search was stopped.

        Args:
            stopped: What `run` returned.

        Raises:
            KeyboardInterrupt: It was interrupted.
            RunError: Too many trials failed.
        """
        if stopped == "interrupted":
            raise KeyboardInterrupt
        if stopped is not None:
            allowed = f"more than max_failed = {self.rules.max_failed:g} allows"
            raise RunError(f"{stopped}, {allowed}: fix the cause, then continue it (--continue)")


def check_data(sweep: Sweep, study: Study) -> None:
    """Check that a study's trials were trained on the data that are here, and note these in a new study.

    Raises:
        UserError: They were trained on other data.
    """
    data, known = identify(sweep.config, memo=sweep.memo).data, study.user_attrs.get("data")
    if data is not None and known is None:
        study.set_user_attr("data", data)
    elif data is not None and known != data:
        raise UserError(
            f"study {sweep.study} was searched on other training data ({known} then, {data} now), so its trials "
            "cannot be compared with new ones: search in another store by --root, or put the data back"
        )


def done_of(study: Study) -> tuple[int, int]:
    """Return how many trials have ended, and how many there are."""
    found: Mapping[str, int] = counts(study)
    return sum(found.get(state, 0) for state in ("complete", "pruned", "failed")), sum(found.values())


def search_facts(
    sweep: Sweep, root: str | Path, storage: str | None = None, trials: int | None = None
) -> dict[str, Any]:
    """Return what a sweep would do as plain values; `preview_search` tells the same in words.

    Args:
        sweep: The sweep.
        root: The store.
        storage: URL of the study; None is SQLite in the store.
        trials: How many; None is what the sweep says.
    """
    store = RunStore(root)
    runs = store.runs()
    known = {run.fingerprint: run for run in store.best(runs)}
    starts = []
    for start in sweep.start_from:
        planned = sweep.run(start)
        stored = known.get(planned.fingerprint)
        found = {"fingerprint": planned.fingerprint, "point": planned.row, "state": stored.state if stored else None}
        starts.append(found)
    count = trials or sweep.trials
    pace = store.pace(sweep.config, runs)
    each = pace.seconds(sweep.config.schedule.iterations, sweep.config.evaluation.interval) if pace else None
    return {
        "sweep": sweep.name,
        "title": sweep.title,
        "study": sweep.study,
        "storage": without_passwords(storage or default_url(sweep, root)),
        "base": sweep.base,
        "goal": [list(one) for one in sweep.goal],
        "space": {name: asdict(one) for name, one in sweep.space.items()},
        "constraints": [one.text for one in sweep.constraints],
        "sampler": sweep.sampler,
        "pruner": sweep.pruner,
        "starts": starts,
        "trials": count,
        "evaluations": sweep.evaluations,
        "seconds_at_most": None if each is None else count * each,
    }


def preview_search(sweep: Sweep, root: str | Path, storage: str | None = None, trials: int | None = None) -> list[str]:
    """Return what a sweep would do, as lines: what it searches, where it starts, how long it takes.

    Args:
        sweep: The sweep.
        root: The store.
        storage: URL of the study; None is SQLite in the store.
        trials: How many; None is what the sweep says.
    """
    facts = search_facts(sweep, root, storage, trials)
    lines = [f"{sweep.name}: {sweep.title}", f"study {sweep.study} at {facts['storage']}; base {sweep.base}", ""]
    lines += [*describe_search(sweep), "starts from"]
    for i, start in enumerate(facts["starts"]):
        lines.append(f"    trial {i}  {start['fingerprint']}  {start['point']}  {start['state'] or 'to run'}")
    seconds = facts["seconds_at_most"]
    hours = "hours unknown (the store has no similar run)" if seconds is None else f"{seconds / 3600:.2f} h at most"
    return [*lines, f"{facts['trials']} trials of {sweep.evaluations} evaluations each: {hours}, one after the other"]
