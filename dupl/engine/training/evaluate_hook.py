"""The hook that evaluates during training and keeps the best weights."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from dupl.atomic import draft, link
from dupl.engine.evaluation.result import EvaluationResult
from dupl.engine.training.evaluation_time_hook import EvaluationTimeHook
from dupl.errors import UserError
from dupl.runs import layout
from dupl.runs.best_weights import BestWeights, record_best
from dupl.runs.evaluation import trained_evaluations
from dupl.runs.judged import Judged
from dupl.runs.run import Run
from dupl.terminal import counted


class EvaluateHook(EvaluationTimeHook):
    """Evaluate every ``interval`` iterations and at the end, and keep the best weights.

    Args:
        run: The run's folder.
        interval: Iterations between two evaluations.
        evaluate: Makes the evaluation; it is called in every process, and its result is used in the first one.
        best: The metric by which weights are compared.
        console: Console for one line of results.
        facts: Values to write beside the metrics (protocol, data set, split).
        forks: Iterations for which the best weights until then are kept, because other runs begin there.
    """

    def __init__(
        self,
        run: Run,
        interval: int,
        evaluate: Callable[[], EvaluationResult],
        best: str,
        console: Console,
        facts: dict[str, Any],
        forks: Collection[int] = (),
    ) -> None:
        super().__init__(interval)
        self.run, self.evaluate, self.best = run, evaluate, best
        self.console, self.facts, self.forks = console, facts, forks
        self.top = float("-inf")
        self.last: EvaluationResult | None = None

    def before_train(self, runner: Any) -> None:
        """Find the best value of earlier attempts on the same data, up to the iteration that training resumes from."""
        self.top = float("-inf")
        if runner.rank != 0:
            return
        rows = [row for row in self.run.scalars() if is_number(row.get(self.best))]
        other = self.of_other_data() & {row["iter"] for row in rows}
        self.top = max((row[self.best] for row in rows if row["iter"] not in other), default=self.top)
        if other:
            left_out = f"{counted(len(other), 'evaluation')} of other data left out"
            line = f"the best weights are chosen among evaluations of the present data.val, {left_out}"
            self.console.print(line, soft_wrap=True, highlight=False)

    def of_other_data(self) -> set[int]:
        """Return the iterations of earlier evaluations that read other data than the present ones."""
        now = self.facts.get("read")
        known = [one for one in trained_evaluations(self.run.path) if now is not None and one.read is not None]
        return {one.iteration for one in known if one.iteration is not None and one.read != now}

    def is_done(self, iteration: int) -> bool:
        """Return whether the row of the metrics, which is written last, exists."""
        rows = [row for row in self.run.scalars() if row.get("iter") == iteration]
        return any(name.partition("/")[0] in ("cam", "seg", "cls") for row in rows for name in row)

    def act(self, runner: Any) -> None:
        """Evaluate, keep the weights if they are the best so far, and write the metrics.

        Raises:
            UserError: The evaluation cannot be made with these settings or data.
        """
        done = runner.iter
        runner.train_loop.require_finite()
        try:
            evaluation = self.evaluate()
        except UserError as error:
            saved = f"the weights of iteration {done} are saved: correct this, and continue with --resume"
            raise UserError(f"{error}; {saved}") from error
        if runner.rank != 0:
            return
        self.last = evaluation
        evaluation.save(self.run.path / layout.evaluation(done), {**self.facts, "iter": done})
        value = evaluation.metrics.get(self.best, float("nan"))
        if value > self.top:
            self.top = value
            self.save_best(runner, value)
        self.run.append_scalars({"iter": done, **evaluation.metrics})
        runner.visualizer.add_scalars(evaluation.metrics, step=done)
        self.console.print(
            f"[bold]{done}[/]  {headline(evaluation.metrics, evaluation.judged)}", soft_wrap=True, markup=True
        )

    def save_best(self, runner: Any, value: float) -> None:
        """Write the weights to the file of the best ones, completely or not at all, and record which they are."""
        best: Path = self.run.path / layout.BEST
        best.parent.mkdir(exist_ok=True)
        for fork in self.forks:
            kept = self.run.path / layout.best_until(fork)
            if fork < runner.iter and best.exists() and not kept.exists():
                link(best, kept)
        model = getattr(runner.model, "module", runner.model)
        state = {k: v.cpu() for k, v in model.state_dict().items()}
        meta: dict[str, Any] = {"iter": runner.iter, "fingerprint": self.run.status.fingerprint, self.best: value}
        meta["classes"] = [] if self.last is None else list(self.last.classes)
        with draft(best) as part:
            torch.save({"meta": meta, "state_dict": state}, part)
        record_best(self.run.path, BestWeights(runner.iter, self.best, value))


def is_number(value: Any) -> bool:
    """Return whether a value of a row is a number, NaN excluded."""
    return isinstance(value, (int, float)) and value == value


def headline(metrics: dict[str, float], judged: Judged) -> str:
    """Format the mIoU of CAMs and segmentation of every student on one line; mAP and F1 where no mask was judged."""
    kind = "seg" if judged.images else "cls"
    students = sorted({k.split("/")[1] for k in metrics if k.startswith(f"{kind}/") and k.split("/")[1].isdigit()})

    def values(kind: str, metric: str) -> str:
        return " / ".join(f"{metrics[f'{kind}/{s}/{metric}']:.1f}" for s in students)

    if kind == "cls":
        return f"mAP {values('cls', 'mAP')}, F1 {values('cls', 'F1')} ({judged})"
    metric = next((k.split("/")[2] for k in metrics if k.startswith("seg/1/mIoU-")), "mIoU")
    return f"{metric}: CAM {values('cam', metric)}, Seg {values('seg', metric)} ({judged})"
