"""Jobs: what is to be done for one run, as commands, and how its folder tells what is done."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.atomic import atomic_write
from dupl.config import catalogue
from dupl.config.batch import plan_batch
from dupl.config.fingerprint import places
from dupl.errors import UserError
from dupl.runs import layout
from dupl.runs import planned as planned_rows
from dupl.runs.best_weights import recorded_best
from dupl.runs.evaluation import is_of_best, read_evaluations
from dupl.runs.files import CorruptFile
from dupl.runs.run import Run, folder_name

if TYPE_CHECKING:
    from dupl.plans.plan import PlannedRun

PLANS = ".plans"  # folder of a store that holds the configs of jobs
AGAIN = "again"  # protocol of a step
PLACE = "{folder}"  # in a command: the run's folder
TETHER = (sys.executable, "-IS", str(Path(__file__).with_name("tether.py")))  # needs nothing but Python, and no time


@dataclass(frozen=True)
class Step:
    """One command of a job; it may be repeated, and goes on where it was stopped.

    Attributes:
        command: Its words; ``{folder}`` in them stands for the run's folder.
        protocol: What it leaves: "train" is a finished training, else an evaluation of its weights by that
            protocol, where "again" is the protocol of training: on data that were corrected since, or another split.
        metrics: That the evaluation must hold.
        read: Digest of the data that the evaluation must be on; "" where that is not known here.
        split: Entry of the recipe's data that it evaluates.
        report: Weights that it evaluates, "last" or "best".
    """

    command: tuple[str, ...]
    protocol: str = "train"
    metrics: tuple[str, ...] = ()
    read: str = ""
    split: str = "val"
    report: str = "last"

    def done(self, folder: Path) -> bool:
        """Whether the run's folder holds what this step leaves.

        Raises:
            UserError: The folder holds a run of a newer version.
        """
        run = Run(folder)
        if self.protocol == "train":
            try:
                return run.exists() and run.status.state == "finished"
            except CorruptFile:  # which the command repairs
                return False
        try:
            reached = run.status.iteration if run.exists() else None
        except CorruptFile:
            return False
        protocol = "train" if self.protocol == AGAIN else self.protocol
        found = [one for one in read_evaluations(folder)[0] if one.protocol == protocol]
        if self.protocol == AGAIN and self.split == "val" and not found:  # data.val has no masks
            return True
        if self.report == "best" and not (folder / layout.BEST).is_file():  # the table says so
            return True
        kept = recorded_best(folder)
        return any(
            (is_of_best(one, kept) if self.report == "best" else one.iteration == reached)
            and (one.split == self.split or one.split.startswith(f"{self.split}-"))
            and set(self.metrics) <= one.metrics.keys()
            and (not self.read or one.read in (None, self.read))
            for one in found
        )


@dataclass(frozen=True)
class Job:
    """Everything that is to be done for one run.

    Attributes:
        fingerprint: Of the run.
        title: For people.
        root: The store, an absolute path.
        folder: Of the run, where no claim on it says otherwise.
        steps: In order.
        cwd: Where the commands run, as relative paths in recipes mean.
        env: Environment variables for them.
        parent: Id of another job whose training the run begins as; "" where there is none.
        begin_from: Folder of the run that it begins as; "" where it begins at iteration 0.
        fork: The iteration at which it begins.
    """

    fingerprint: str
    title: str
    root: str
    folder: str
    steps: tuple[Step, ...]
    cwd: str
    env: Mapping[str, str] = field(default_factory=dict)
    parent: str = ""
    begin_from: str = ""
    fork: int = 0

    def begins_as(self, folder: str, fork: int, parent: str = "") -> Job:
        """Return the job with its training begun as another run's checkpoint; arguments as of the attributes."""
        return replace(self._with("--begin-from", folder), parent=parent, begin_from=folder, fork=fork)

    def keeping(self, iterations: Iterable[int]) -> Job:
        """Return the job with its training told to keep the checkpoints of iterations, which other runs begin as."""
        kept = sorted(iterations)
        return self._with("--keep-at", *map(str, kept)) if kept else self

    def _with(self, *options: str) -> Job:
        """Return the job with further options of its training command."""
        train, *others = self.steps
        return replace(self, steps=(replace(train, command=(*train.command, *options)), *others))

    def todo(self, folder: Path) -> Step | None:
        """The first step that is not done; None where all are.

        Raises:
            UserError: The folder holds a run of a newer version.
        """
        return next((step for step in self.steps if not step.done(folder)), None)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Job:
        """The inverse of `dataclasses.asdict`, also by way of JSON."""
        steps = [Step(**{**s, "command": tuple(s["command"]), "metrics": tuple(s["metrics"])}) for s in values["steps"]]
        return cls(**{**values, "steps": tuple(steps)})


def plan_jobs(
    planned: Sequence[PlannedRun],
    root: str | Path,
    *,
    evaluations: Mapping[tuple[str, str], Sequence[str]] | None = None,
    best: Mapping[tuple[str, str], Sequence[str]] | None = None,
    reads: Mapping[str, str | None] | None = None,
    processes: int = 1,
    found: Mapping[str, Path] | None = None,
) -> list[Job]:
    """One job per fingerprint, in the order of the plan.

    Args:
        planned: The runs of a plan; rows may share a run.
        root: The store.
        evaluations: What each run is evaluated by after training: metrics by protocol and entry of the data.
        best: The same of its best weights.
        reads: By fingerprint, digest of the data of val as they are here now; evaluations on others are made again.
        processes: Of one training; several are started by torchrun.
        found: Folders of runs that the store has already.

    Raises:
        UserError: The processes cannot share the losses of a step equally.
    """
    check_processes(planned, processes)
    root = Path(os.path.abspath(root))
    titles: dict[str, list[str]] = {}
    for run in planned:
        titles.setdefault(run.fingerprint, []).append(run.row)
    jobs = {}
    for run in planned:
        folder = (found or {}).get(run.fingerprint) or root / folder_name(run.recipe, run.fingerprint)
        steps = [Step(train_command(config_file(root, run.fingerprint), processes))]
        if read := (reads or {}).get(run.fingerprint) or "":
            steps.append(Step(evaluate_command(run, "train"), AGAIN, read=read))
        for report, wanted in (("last", evaluations or {}), ("best", best or {})):
            for (protocol, split), metrics in wanted.items():
                words = evaluate_command(run, protocol, split, report)
                kind = AGAIN if protocol == "train" else protocol
                steps.append(Step(words, kind, tuple(metrics), read if split == "val" else "", split, report))
        rows = list(dict.fromkeys(titles[run.fingerprint]))
        jobs[run.fingerprint] = Job(
            fingerprint=run.fingerprint,
            title=f"{' = '.join(rows)}, seed {run.seed}",
            root=str(root),
            folder=os.path.abspath(folder),
            steps=tuple(steps),
            cwd=os.getcwd(),
            env={"DUPL_PLAN": run.plan, "DUPL_ROW": rows[0]},
        )
    return list(jobs.values())


def check_processes(planned: Iterable[PlannedRun], processes: int) -> None:
    """Check that each run can be trained by a number of processes.

    Raises:
        UserError: They cannot share the losses of a step equally; the message names the row.
    """
    for run in planned:
        schedule = run.values.get("schedule", {})
        if "batch_size" in schedule and "images_per_loss" in schedule:
            try:
                plan_batch(schedule, processes)
            except UserError as error:
                raise UserError(f"row {run.row}: {error}") from None


def train_command(config: Path, processes: int = 1) -> tuple[str, ...]:
    """``dupl train``, which creates the run or goes on with it; by torchrun where it takes several processes.

    The processes of torchrun are tethered to it one by one: it starts each in a session of its own.
    """
    train = (sys.executable, "-m", "dupl", "train", str(config), "--work-dir", PLACE, "--resume")
    if processes == 1:
        return train
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes))
    return (*torchrun, "--no-python", *TETHER, *train, "--launcher", "pytorch")


def evaluate_command(run: PlannedRun, protocol: str, split: str = "val", report: str = "last") -> tuple[str, ...]:
    """Return ``dupl eval`` of the last or the best weights of a run, on the data where they lie now."""
    words: tuple[str, ...] = (sys.executable, "-m", "dupl", "eval", PLACE, "--protocol", protocol)
    words = (*words, *(("--split", split) if split != "val" else ()), "--checkpoint", report)
    data = run.values.get("data")
    found = places(data.get(split)) if isinstance(data, Mapping) else {}
    return (*words, "--set", *(f"data.{split}.{path}={place}" for path, place in found.items())) if found else words


def config_file(root: str | Path, fingerprint: str) -> Path:
    """Where the resolved config of a planned run is kept."""
    return Path(root) / PLANS / f"{fingerprint}.py"


def write_configs(planned: Sequence[PlannedRun], root: str | Path) -> None:
    """Write the resolved configs that the commands of jobs name, and record which rows ask for them."""
    for run in planned:
        planned_rows.record(root, run.fingerprint, run.plan, run.row)
        path, text = config_file(root, run.fingerprint), catalogue.to_text(run.values).encode()
        if not path.is_file() or path.read_bytes() != text:
            atomic_write(path, text)
