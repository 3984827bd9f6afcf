"""Training a resolved recipe in a run's folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from rich.console import Console

from dupl.config.batch import plan_batch
from dupl.data.identity import identify
from dupl.engine import build, precision
from dupl.engine.custom_imports import modules_digest
from dupl.engine.data_digest import digests, record
from dupl.engine.device import hardware, open_device, place
from dupl.engine.error_explanations import plain_errors, without_alarm
from dupl.engine.training.fork import begin_as
from dupl.engine.training.memory_advice import memory_advice
from dupl.engine.training.processes import Process, agree, join
from dupl.engine.training.run_folder import Asked, find_checkpoint, open_run
from dupl.engine.training.trainer import Setup, Trainer, build_trainer
from dupl.engine.training.trial_step import take_trial_steps
from dupl.engine.training.validate import check_config, check_model, read_data, warmup_note
from dupl.engine.training.warm_start import fitted, warm_start
from dupl.errors import RunError
from dupl.lock import hold
from dupl.report.figures.start_markers import start_markers, starts
from dupl.runs import layout
from dupl.runs.run import Run
from dupl.runs.stretches import BITS, ROUNDING, in_words
from dupl.terminal import safe_console


def train(
    config: Config,
    folder: Path,
    *,
    resume: bool = False,
    launcher: str = "none",
    command: Sequence[str] | None = None,
    wandb: str = "off",
    console: Console | None = None,
    at_end: Callable[[Run], object] = lambda _: None,
    begin_from: Path | None = None,
    forks: Collection[int] = (),
) -> Run | None:
    """Train a recipe, evaluate it on the way, and write a run folder.

    Args:
        config: A resolved recipe.
        folder: The run's folder.
        resume: Whether to continue from the newest checkpoint that loads; without one, from the start.
        launcher: "none", or mmengine's "pytorch", "slurm", "mpi" for several processes.
        command: The command line, for the record.
        wandb: "off", "offline" or "online": whether a wandb run is written beside the files.
        console: Console for messages; standard error where None.
        at_end: Called in the first process before the run counts as finished, so that a kill cannot skip it.
        begin_from: Folder of a run to begin as, for as many iterations as both train alike; see `begin_as`.
        forks: Iterations whose checkpoints are kept, so that other runs can begin as them.

    Returns:
        The run, in the first process only.

    Raises:
        UserError: The configuration or the data are wrong, the folder holds another run, or another process holds it.
        RunError: Training stopped by itself.
    """
    check_config(config)
    console = console or safe_console(stderr=True, markup=False)
    process = join(launcher, open_device(config.runtime))
    console = console if process.is_first else Console(quiet=True)
    data = read_data(config)
    for line in data.notes:
        console.print(line, soft_wrap=True, highlight=False)
    batch = plan_batch(config.schedule, process.world)
    advice = memory_advice(config)
    with plain_errors(advice):
        model = build.build_model(config, data.view.source.classes, process.device)
    check_model(config, model, data)
    take_trial_steps(config, model, data, advice)
    lock = hold(folder, lambda line: console.print(line, soft_wrap=True, markup=False))
    with lock if process.is_first else nullcontext():
        run, reads = Run(folder), dict[str, Any]()
        if process.is_first:
            reads = digests(config, data.by_split)
            identity = identify(config, source=data.view.source, record=reads["train"])
            run = open_run(Asked(config, identity, reads, resume, command or sys.argv), folder, console)
            record(run, reads, console)
            if begin_from is not None:
                begin_as(run, config, begin_from, _computed_by(config, process), console)
        setup = Setup(config, run, model, data, batch, process, console, wandb, reads, forks)
        _print_setup(setup)
        looks = process.is_first and (resume or begin_from is not None)  # the others may be too early to see its copy
        start = agree(find_checkpoint(run, console) if looks else None)
        if start is None:
            _warm_start(setup, advice)
        trainer, iteration = build_trainer(setup, launcher), 0
        if start is not None:
            trainer.resume_from(start)
            iteration = layout.iteration_of(start.stem) or 0
        _run(trainer, setup, advice, iteration)
        if not process.is_first:
            return None
        _finish(run, trainer.iter, at_end)
        return run


def _print_setup(setup: Setup) -> None:
    """Print data, batch, precision and device, and which parts of the schedule lie after the last iteration."""
    config, console, device = setup.config, setup.console, setup.process.device
    words, where = precision.describe(config.runtime.precision, device), place(device, config.runtime.threads)
    console.print(f"{setup.run.path}: {len(setup.data.view)} images, {setup.batch}, {words} on {where}", soft_wrap=True)
    if line := precision.warning(config.runtime.precision, device):
        console.print(line, soft_wrap=True, highlight=False)
    if line := warmup_note(config):
        console.print(line, soft_wrap=True, highlight=False)
    if late := starts(config.model).keys() - start_markers(config).keys():
        names = ", ".join(sorted(name.removesuffix(" starts") for name in late))
        console.print(
            f"not in this run, which ends at iteration {config.schedule.iterations} before they start: {names}"
        )


def _warm_start(setup: Setup, advice: str) -> None:
    """Fit what is fitted before the first iteration; the time counts as training."""
    parts = fitted(setup.model)
    fewer = [f"a smaller {place}.images (now {part.images})" for place, part in parts.items()]
    with plain_errors(", ".join([*fewer, advice])):
        seconds = warm_start(setup.config, setup.model, setup.data.view.source)
    if seconds is not None and setup.process.is_first:
        setup.run.update(seconds=seconds)
        setup.console.print(f"fitted before training ({', '.join(parts)}): {seconds:.0f} s", highlight=False)


def _run(trainer: Trainer, setup: Setup, advice: str, start: int) -> None:
    """Run the training loop from an iteration on, and keep the run's status up to date.

    Raises:
        UserError: Data that training reads is wrong.
        RunError: Training stopped by itself or on a signal.
    """
    run, is_first = setup.run, setup.process.is_first
    if is_first:
        _begin(setup, start)
    try:
        with plain_errors(advice, setup.config.runtime.workers):
            trainer.train()
    except BaseException as error:
        if is_first:
            with suppress(OSError), without_alarm():  # a full disk refuses this too, and is reported below
                run.update(state="failed", error=f"{type(error).__name__}: {error}")
        trainer.release()
        raise
    trainer.close_trackers("interrupted" if trainer.interrupted else "finished")
    if trainer.interrupted:
        if is_first:
            run.update(state="interrupted", iteration=trainer.iter)
        if setup.process.world > 1:  # the end of one has torchrun end the others, which may still be writing
            torch.distributed.barrier()
        raise RunError(f"stopped at iteration {trainer.iter}, which is saved: continue with --resume")


def _computed_by(config: Config, process: Process) -> dict[str, Any]:
    """Return what this process computes on and with which modules of the recipe, as fields of a stretch."""
    return {**hardware(process.device, process.world), "modules": modules_digest(config)}


def _begin(setup: Setup, start: int) -> None:
    """Record that training is at work and on what, and print what is other than before an interruption."""
    known = _computed_by(setup.config, setup.process)
    other = setup.run.begin(start, known)
    setup.run.update(state="running", iterations=setup.config.schedule.iterations, machine=known["machine"])
    if other:
        rounding = f"; {BITS} from here on" if other.keys() & set(ROUNDING) else ""
        line = f"from iteration {start} on, other than before: {in_words(other)}{rounding}"
        setup.console.print(line, soft_wrap=True, highlight=False)


def _finish(run: Run, iteration: int, at_end: Callable[[Run], object]) -> None:
    """Call `at_end` and mark the run as finished, also after an error: its training is complete."""
    try:
        with plain_errors("a smaller evaluation.size"):
            at_end(run)
    except Exception:  # but not after a signal, so that the next attempt calls it again
        run.update(state="finished", iteration=iteration)
        raise
    run.update(state="finished", iteration=iteration)
