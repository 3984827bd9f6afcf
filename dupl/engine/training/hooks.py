"""What happens beside training: scalars on disk, a progress bar, evaluation, best weights, stop signals."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor

from dupl.engine.checkpoints import draft
from dupl.engine.evaluation.evaluate import Evaluation
from dupl.runs import layout
from dupl.runs.run import Run

SHOWN = ("loss", "L_cls", "L_ptc", "L_dis", "L_seg", "L_reg", "tau_h")
SHARES = {"pixels/supervised": "sup", "pixels/filtered": "noise", "pixels/undecided": "undecided"}


class ScalarHook(Hook):
    """Means of every scalar over each logging interval, to the run's scalars and the visualizer's backends.

    Sums stay on the device and meet the host once per interval; they travel in checkpoints, so that a resumed run
    writes the same rows.

    Args:
        run: The run's folder.
        interval: In iterations.
        say: Told in one line of rows that a resumed run had lost.
    """

    priority = "NORMAL"

    def __init__(self, run: Run, interval: int, say: Callable[[str], object] = lambda _: None) -> None:
        self.run, self.interval, self.say = run, interval, say
        self.known = ""
        self.sums: dict[str, Tensor] = {}
        self.count: dict[str, int] = {}
        self.last: dict[str, float] = {}
        self.spent = 0.0

    def before_train(self, runner: Any) -> None:
        """Drop rows beyond the checkpoint that training resumes from, all where it starts anew."""
        if runner.rank != 0 or not (self.known or (self.run.path / layout.SCALARS).exists()):
            return
        if lost := self.run.truncate_scalars(runner.iter, self.known):
            self.say(f"{layout.SCALARS} was corrupt: {lost} rows are restored from the checkpoint")

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Add up; write where the interval ends."""
        for name, value in outputs.items():
            value = value.detach().double()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.count[name] = self.count.get(name, 0) + 1
        done = runner.iter + 1
        if done % self.interval == 0 or done == runner.max_iters:
            self.write(runner, done)

    def write(self, runner: Any, done: int) -> None:
        """One row: means since the last, learning rate, seconds per iteration."""
        names = list(self.sums)
        means = torch.stack([self.sums[n].to(_device(self.sums)) / self.count[n] for n in names])
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(means)
            means /= torch.distributed.get_world_size()
        steps = max(self.count.values())
        spent = runner.train_loop.seconds()
        self.last = dict(zip(names, means.tolist(), strict=True))
        self.last |= {
            "lr": runner.optim_wrapper.param_groups[0]["lr"],
            "seconds": (spent - self.spent) / steps,
        }
        if torch.cuda.is_available():
            self.last["memory_GiB"] = torch.cuda.max_memory_allocated() / 2**30
        self.sums, self.count, self.spent = {}, {}, spent
        if runner.rank == 0:
            self.run.append_scalars({"iter": done, **self.last})
            runner.visualizer.add_scalars(self.last, step=done)

    def after_train(self, runner: Any) -> None:
        """Close the backends, some of which keep the last rows until then; training is done, whatever they say."""
        try:
            runner.visualizer.close()
        except Exception as error:
            runner.logger.error(f"a backend of the visualizer did not close: {type(error).__name__}: {error}")

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Take the unfinished interval along."""
        checkpoint["scalars"] = {
            "sums": {n: v.item() for n, v in self.sums.items()},
            "count": dict(self.count),
        }

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Go on with the unfinished interval; know the rows before it."""
        self.known = str(checkpoint.get("meta", {}).get("scalars", ""))
        scalars = checkpoint.get("scalars", {"sums": {}, "count": {}})
        self.sums = {n: torch.tensor(v, dtype=torch.float64) for n, v in scalars["sums"].items()}
        self.count = dict(scalars["count"])


def _device(sums: dict[str, Tensor]) -> torch.device:
    return next((v.device for v in sums.values() if v.is_cuda), torch.device("cpu"))


class ProgressHook(Hook):
    """A progress bar on a terminal, a line per logging interval elsewhere.

    Args:
        scalars: Where the figures come from.
        console: Where to write.
    """

    priority = "LOW"

    def __init__(self, scalars: ScalarHook, console: Console) -> None:
        self.scalars, self.console = scalars, console
        self.bar: Progress | None = None
        self.begun = (0, 0.0)

    def before_train(self, runner: Any) -> None:
        """Start the bar at the iteration that training starts from."""
        self.begun = (runner.iter, time.monotonic())
        if runner.rank == 0 and self.console.is_terminal:
            columns = (BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), "eta", TimeRemainingColumn())
            self.bar = Progress("train", *columns, TextColumn("{task.fields[figures]}"), console=self.console)
            self.bar.add_task("train", total=runner.max_iters, completed=runner.iter, figures="")
            self.bar.start()

    def after_iteration(self, runner: Any) -> None:
        """Move on."""
        if runner.rank != 0:
            return
        done = runner.iter
        logged = done % self.scalars.interval == 0 or done == runner.max_iters
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=done, figures=figures(self.scalars.last))
        elif logged:
            spent = time.monotonic() - self.begun[1]
            left = spent / max(done - self.begun[0], 1) * (runner.max_iters - done)
            self.console.print(
                f"{done}/{runner.max_iters}  eta {clock(left)}  {figures(self.scalars.last)}", soft_wrap=True
            )

    def after_train(self, runner: Any) -> None:
        """Stop the bar."""
        self.close()

    def close(self) -> None:
        """Give the terminal back."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def figures(scalars: dict[str, float]) -> str:
    """The scalars that a person follows, on one line; a term that has not started is left out."""
    parts = [f"{n} {scalars[n]:.3f}" for n in SHOWN if scalars.get(n, 0.0) != 0.0]
    parts += [f"{label} {100 * scalars[n]:.0f}%" for n, label in SHARES.items() if n in scalars]
    if "seconds" in scalars:
        parts.append(f"{scalars['seconds']:.2f} s/it")
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, s = divmod(round(seconds), 60)
    h, m = divmod(minutes, 60)
    return f"{h}:{m:02d}:{s:02d}"


class EvaluateHook(Hook):
    """Evaluates every ``interval`` iterations and at the end; keeps the best weights.

    Args:
        run: The run's folder.
        interval: In iterations.
        evaluate: Makes the evaluation; called in every process, its result is used in the first.
        best: Metric that decides which weights are best.
        console: Where to print the line of figures.
        facts: Written beside the metrics (protocol, data set, split).
    """

    priority = "BELOW_NORMAL"

    def __init__(
        self,
        run: Run,
        interval: int,
        evaluate: Callable[[], Evaluation],
        best: str,
        console: Console,
        facts: dict[str, Any],
    ) -> None:
        self.run, self.interval, self.evaluate, self.best = run, interval, evaluate, best
        self.console, self.facts = console, facts
        self.top = float("-inf")
        self.last: Evaluation | None = None

    def after_iteration(self, runner: Any) -> None:
        """Evaluate where it is time, before the checkpoint of the same iteration is written."""
        done = runner.iter
        if done % self.interval and done != runner.max_iters:
            return
        runner.train_loop.prove_finite()
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
        """Write the weights alone, whole or not at all."""
        best: Path = self.run.path / layout.BEST
        best.parent.mkdir(exist_ok=True)
        model = getattr(runner.model, "module", runner.model)
        state = {k: v.cpu() for k, v in model.state_dict().items()}
        meta = {"iter": runner.iter, "fingerprint": self.run.status.fingerprint, self.best: value}
        with draft(best) as part:
            torch.save({"meta": meta, "state_dict": state}, part)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Take the best figure along."""
        checkpoint["best"] = self.top

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Know the best figure so far."""
        self.top = checkpoint.get("best", float("-inf"))


def headline(metrics: dict[str, float]) -> str:
    """mIoU of CAM and segmentation of every student, on one line."""
    students = sorted({k.split("/")[1] for k in metrics if k.startswith("seg/") and k.split("/")[1].isdigit()})
    metric = next((k.split("/")[2] for k in metrics if k.startswith("seg/1/mIoU-")), "mIoU")
    cam = " / ".join(f"{metrics[f'cam/{s}/{metric}']:.1f}" for s in students)
    seg = " / ".join(f"{metrics[f'seg/{s}/{metric}']:.1f}" for s in students)
    return f"{metric}: CAM {cam}, Seg {seg}"


class StopHook(Hook):
    """On SIGINT or SIGTERM: finish the iteration, let the checkpoint be written, and stop. A second signal kills.

    Several processes stop together: every ``AGREE`` iterations they ask each other whether one was told to.
    """

    priority = "VERY_HIGH"
    AGREE = 10

    def __init__(self) -> None:
        self.received: int | None = None
        self.before: dict[int, Any] = {}

    def before_train(self, runner: Any) -> None:
        """Listen."""

        def ask(number: int, _: FrameType | None) -> None:
            self.received = number
            self.forget()

        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self.before[number] = signal.signal(number, ask)
            except ValueError:  # not in the main thread: the caller decides
                return

    def after_iteration(self, runner: Any) -> None:
        """Stop where asked, before the checkpoint hook acts."""
        asked = self.received is not None
        if runner.distributed:
            if runner.iter % self.AGREE:
                return
            votes = torch.tensor(float(asked), device=next(runner.model.parameters()).device)
            torch.distributed.all_reduce(votes)
            asked = votes.item() > 0
        if asked:
            runner.train_loop.stop_training = True

    def after_train(self, runner: Any) -> None:
        """Listen no more."""
        self.forget()

    def forget(self) -> None:
        """Give the signals back."""
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}
