"""The hook that evaluates during training and keeps the best weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from rich.console import Console

from dupl.engine.checkpoints import draft
from dupl.engine.evaluation.result import EvaluationResult
from dupl.runs import layout
from dupl.runs.run import Run


class EvaluateHook(Hook):
    """Evaluate every ``interval`` iterations and at the end, and keep the best weights.

    Args:
        run: The run's folder.
        interval: Iterations between two evaluations.
        evaluate: Makes the evaluation; it is called in every process, and its result is used in the first one.
        best: The metric by which weights are compared.
        console: Console for one line of results.
        facts: Values to write beside the metrics (protocol, data set, split).
    """

    priority = "BELOW_NORMAL"

    def __init__(
        self,
        run: Run,
        interval: int,
        evaluate: Callable[[], EvaluationResult],
        best: str,
        console: Console,
        facts: dict[str, Any],
    ) -> None:
        self.run, self.interval, self.evaluate, self.best = run, interval, evaluate, best
        self.console, self.facts = console, facts
        self.top = float("-inf")
        self.last: EvaluationResult | None = None

    def after_iteration(self, runner: Any) -> None:
        """Evaluate if it is due, before the checkpoint of the same iteration is written."""
        done = runner.iter
        if done % self.interval and done != runner.max_iters:
            return
        runner.train_loop.require_finite()
        evaluation = self.evaluate()
        if runner.rank != 0:
            return
        self.last = evaluation
        evaluation.save(self.run.path / layout.evaluation(done), {**self.facts, "iter": done})
        self.run.append_scalars({"iter": done, **evaluation.metrics})
        runner.visualizer.add_scalars(evaluation.metrics, step=done)
        self.console.print(f"[bold]{done}[/]  {headline(evaluation.metrics)}", soft_wrap=True, markup=True)
        value = evaluation.metrics.get(self.best, float("nan"))
        if value > self.top:
            self.top = value
            self.save_best(runner, value)

    def save_best(self, runner: Any, value: float) -> None:
        """Write the weights to the file of the best ones, completely or not at all."""
        best: Path = self.run.path / layout.BEST
        best.parent.mkdir(exist_ok=True)
        model = getattr(runner.model, "module", runner.model)
        state = {k: v.cpu() for k, v in model.state_dict().items()}
        meta: dict[str, Any] = {"iter": runner.iter, "fingerprint": self.run.status.fingerprint, self.best: value}
        meta["classes"] = [] if self.last is None else list(self.last.classes)
        with draft(best) as part:
            torch.save({"meta": meta, "state_dict": state}, part)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Store the best value in the checkpoint."""
        checkpoint["best"] = self.top

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Restore the best value so far."""
        self.top = checkpoint.get("best", float("-inf"))


def headline(metrics: dict[str, float]) -> str:
    """Format the mIoU of CAMs and segmentation of every student on one line."""
    students = sorted({k.split("/")[1] for k in metrics if k.startswith("seg/") and k.split("/")[1].isdigit()})
    metric = next((k.split("/")[2] for k in metrics if k.startswith("seg/1/mIoU-")), "mIoU")
    cam = " / ".join(f"{metrics[f'cam/{s}/{metric}']:.1f}" for s in students)
    seg = " / ".join(f"{metrics[f'seg/{s}/{metric}']:.1f}" for s in students)
    return f"{metric}: CAM {cam}, Seg {seg}"
