"""Train a resolved recipe in a run folder, on the mmengine Runner."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS, VISBACKENDS
from mmengine.runner import Runner
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader

from dupl.config import catalogue
from dupl.config.check import RECIPE, UnknownKey
from dupl.config.fingerprint import fingerprint
from dupl.config.overrides import diff
from dupl.data.base import ImageSet
from dupl.data.views import TrainView
from dupl.engine import build
from dupl.engine.checkpoints import load, newest_valid
from dupl.engine.data_digest import record
from dupl.engine.device import choose_device, machine
from dupl.engine.error_explanations import plain_errors, without_alarm
from dupl.engine.evaluation.evaluate import PROTOCOL, Evaluation, evaluate, merge, metric_names
from dupl.engine.training.checkpoint_hook import CheckpointHook
from dupl.engine.training.evaluate_hook import EvaluateHook
from dupl.engine.training.gallery import GalleryHook, Viewer
from dupl.engine.training.label_quality import check_masks, check_quality, quality_hook
from dupl.engine.training.loop import PositionSampler, TrainLoop  # noqa: F401  (the runner finds TrainLoop by name)
from dupl.engine.training.noise_statistics import noise_hook
from dupl.engine.training.optimizer import WarmupPoly, build_optimizer
from dupl.engine.training.progress_hook import ProgressHook
from dupl.engine.training.scalar_hook import ScalarHook
from dupl.engine.training.step import train_step
from dupl.engine.training.stop_hook import StopHook
from dupl.engine.training.tracking import TrackHook
from dupl.errors import RunError, UserError
from dupl.lock import hold
from dupl.registry import validate_registered
from dupl.report.figures.start_markers import start_markers, starts
from dupl.runs import ids, layout
from dupl.runs.files import CorruptFile
from dupl.runs.run import Run
from dupl.runs.status import Status


@dataclass(frozen=True)
class Batch:
    """How the effective batch comes about: gpus x per_gpu x accumulate.

    Attributes:
        gpus: Processes.
        per_gpu: Images of one micro-batch in one process.
        accumulate: Micro-batches of one optimiser step.
    """

    gpus: int
    per_gpu: int
    accumulate: int

    @property
    def effective(self) -> int:
        """Images of one optimiser step."""
        return self.gpus * self.per_gpu * self.accumulate

    def __str__(self) -> str:
        """For people."""
        parts = f"{self.gpus} process(es) x {self.per_gpu} x {self.accumulate} accumulated"
        return f"effective batch {self.effective} = {parts}"


def plan_batch(schedule: dict[str, Any], gpus: int) -> Batch:
    """The batch of a recipe on this many processes.

    Raises:
        UserError: It cannot be the recipe's ``batch_size``, and ``allow_other_batch`` is not set.
    """
    want, accumulate, per_gpu = schedule["batch_size"], schedule["accumulate"], schedule["per_gpu"]
    share = per_gpu or max(1, want // (gpus * accumulate))
    batch = Batch(gpus, share, accumulate)
    if batch.effective != want and not schedule["allow_other_batch"]:
        raise UserError(
            f"{batch}, but the recipe's batch_size is {want}: change the number of processes, schedule.accumulate or "
            "schedule.per_gpu, or accept another batch by --set schedule.allow_other_batch=True"
        )
    return batch


def check_config(config: Config) -> None:
    """Validate a config before training starts, wherever it comes from; unknown keys of a stored one are left alone.

    Raises:
        UserError: A value does not fit the schema; a hook or backend is not registered with mmengine, which would
            import it.
    """
    for fault in RECIPE.faults(catalogue.plain(config)):
        if not isinstance(fault, UnknownKey):
            raise fault
    build.import_custom(config)
    validate_registered(config.get("hooks", []), HOOKS, "hooks")
    validate_registered(config.runtime.vis_backends, VISBACKENDS, "runtime.vis_backends")


class Trainer(Runner):
    """mmengine's Runner on a chosen device, with its log in the run's folder and not on the terminal.

    It is not given the recipe: it would write it into every checkpoint.
    """

    def __init__(self, *args: Any, device: torch.device, wrapper: dict[str, Any], **kwargs: Any) -> None:
        self.device, self.wrapper = device, wrapper
        super().__init__(*args, **kwargs)

    def build_logger(self, log_level: int | str = "INFO", log_file: str | None = None, **kwargs: Any) -> MMLogger:
        """The log goes to a file."""
        logger = super().build_logger(log_level, log_file, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                handler.setLevel(logging.ERROR)
        return logger

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        """Keep the model where it was put, unless it is to be distributed."""
        model.train_step = train_step  # type: ignore[assignment]  # the Runner asks for one, though the loop calls the function itself
        return super().wrap_model(self.wrapper, model) if self.distributed else model

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Resume through the CPU; optimiser states follow their parameters."""
        super().resume(filename, map_location="cpu")


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
) -> Run | None:
    """Train, evaluate on the way, and leave a run folder.

    Args:
        config: A resolved recipe.
        folder: The run's folder.
        resume: Go on from the newest valid checkpoint; without one, from the start.
        launcher: "none", or mmengine's "pytorch", "slurm", "mpi" for several processes.
        command: The command line, for the record.
        wandb: "off", "offline" or "online": whether a wandb run is kept beside the files.
        console: Where to report; standard error where None.
        at_end: Called in the first process before the run counts as finished, so that a kill leaves nothing of it out.

    Returns:
        The run, in the first process only.

    Raises:
        UserError: Bad configuration or data, a folder in the way, or another process at work there.
        RunError: Training stopped by itself.
    """
    check_config(config)
    console = console or Console(stderr=True, markup=False)
    device = choose_device(config.runtime.device)
    rank, world = join(launcher, device)
    if device.type == "cuda" and world > 1:  # only now every launcher has said which is whose
        device = torch.device("cuda", torch.cuda.current_device())
    quiet = console if rank == 0 else Console(quiet=True)
    view, validation = read_data(config)
    batch = plan_batch(config.schedule, world)
    smaller = what_is_smaller(config, batch)
    with plain_errors(smaller):
        model = build.build_model(config, len(view.source.classes), device)
    if validation is not None:
        check_evaluation(config, validation.classes, len(model.students))
    with hold(folder, lambda line: quiet.print(line, soft_wrap=True, markup=False)) if rank == 0 else nullcontext():
        if rank == 0:
            Run(folder).clear_drafts()
            mend(config, folder, resume, command or sys.argv, quiet)
        run = open_run(config, folder, resume, command or sys.argv, rank)
        precision = {"off": "float32", "cam": "bfloat16 in CAM passes", "bf16": "bfloat16"}[model.amp]
        quiet.print(f"{run.path}: {len(view)} images, {batch}, {precision} on {device}", soft_wrap=True)
        if late := starts(config.model).keys() - start_markers(config).keys():
            end = config.schedule.iterations
            names = ", ".join(sorted(name.removesuffix(" starts") for name in late))
            quiet.print(f"not in this run, which ends at iteration {end} before they start: {names}")
        if rank == 0:
            sets = {"train": view.source} if validation is None else {"train": view.source, "val": validation}
            record(run, config, sets, quiet)
        viewer = Viewer(model, view.source if validation is None else validation, config.evaluation)
        tracked = None
        if wandb != "off" and rank == 0:
            tracked = TrackHook(run, config, model, viewer, wandb, quiet)
        data, place = (view, validation), (rank, world)
        trainer = build_trainer(config, run, model, data, batch, place, launcher, quiet, device, viewer, tracked)
        if resume and (start := find_start(run, quiet)) is not None:
            trainer._resume, trainer._load_from = True, str(start)
        if rank == 0:
            run.update(state="running", iterations=config.schedule.iterations, machine=machine(device, world))
        try:
            with plain_errors(smaller, config.runtime.workers):
                trainer.train()
        except BaseException as error:
            if rank == 0:
                with suppress(OSError), without_alarm():  # a full disk does not take this either, and is told below
                    run.update(state="failed", error=f"{type(error).__name__}: {error}")
            _close(trainer)
            raise
        if trainer.train_loop.stop_training and trainer.iter < trainer.max_iters:
            if rank == 0:
                run.update(state="interrupted", iteration=trainer.iter)
            raise RunError(f"stopped at iteration {trainer.iter}, which is saved: go on with --resume")
        if rank != 0:
            return None
        try:
            with plain_errors("a smaller evaluation.size"):
                at_end(run)
        except Exception:  # training is done, whatever becomes of the rest; a signal may still find it undone
            run.update(state="finished", iteration=trainer.iter)
            raise
        run.update(state="finished", iteration=trainer.iter)
        return run


def what_is_smaller(config: Config, batch: Batch) -> str:
    """What makes a step take less memory, with the values now."""
    tries = []
    if batch.per_gpu > 1:
        tries.append(f"schedule.accumulate={2 * batch.accumulate} (now {batch.accumulate}: the batch in more parts)")
    tries.append(f"a smaller schedule.batch_size (now {config.schedule.batch_size})")
    if crop := config.data.augment.get("crop"):
        tries.append(f"a smaller data.augment.crop (now {crop})")
    if config.runtime.amp in ("off", "cam"):
        tries.append(f"runtime.amp=bf16 (now {config.runtime.amp})")
    return f"{', '.join(tries)} by --set, in another folder as another run"


def mend(config: Config, folder: Path, resume: bool, command: Sequence[str], console: Console) -> None:
    """Restore a corrupt status or config of the run, in the first process alone.

    The status is that of the newest checkpoint that loads; without one, that of a run which begins.

    Raises:
        UserError: Only ``resume`` restores; or the folder holds another run.
    """
    run, name = Run(folder), fingerprint(config)
    if not run.exists():
        return
    try:
        status = run.status
    except CorruptFile as error:
        if not resume:
            raise UserError(f"{error}; --resume restores it from the newest checkpoint") from None
        start, _ = newest_valid(folder)
        meta = load(start).get("meta", {}) if start is not None else {}
        if {ids.current(meta.get("fingerprint", name)), _written(run) or name} != {name}:
            raise UserError(f"{error}, and the folder is of another run: choose another by --work-dir") from None
        (folder / layout.STATUS).unlink()
        text = run.config_path.read_text() if _written(run) else catalogue.to_text(config)
        status = Run.create(folder, text, name, list(command), config.runtime.seed).status
        known = {field.name for field in fields(Status)} - {"state", "layout"}
        before = {key: value for key, value in json.loads(str(meta.get("status", "{}"))).items() if key in known}
        run.update(state="interrupted", **{"iteration": meta.get("iter", 0), **before})
        source = start.name if start is not None else "the command: there is no checkpoint"
        console.print(f"{layout.STATUS} was corrupt: restored from {source}", soft_wrap=True, highlight=False)
    if status.fingerprint == name and _written(run) is None:
        run.write_text(layout.CONFIG, catalogue.to_text(config))
        console.print(f"{layout.CONFIG} was corrupt: written anew", soft_wrap=True, highlight=False)


def _written(run: Run) -> str | None:
    """Return the fingerprint of the stored config; None where it cannot be read."""
    try:
        return ids.current(fingerprint(catalogue.read(run.config_path)))
    except (UserError, OSError):
        return None


def find_start(run: Run, console: Console) -> Path | None:
    """The newest checkpoint that loads, told to the person; None where there is none."""
    start, passed = newest_valid(run.path)
    for line in passed:
        console.print(f"passed over: {line}", soft_wrap=True, highlight=False)
    found = f"resuming from {start.name}" if start else f"no checkpoint to resume from in {run.path}: starting anew"
    console.print(found, soft_wrap=True, highlight=False)
    return start


def read_data(config: Config) -> tuple[TrainView, ImageSet | None]:
    """What is trained on, and the validation set, None where that has no masks.

    Raises:
        UserError: A data set or the augmentation refuses its settings, or the classes of the two differ.
    """
    source = build.build_dataset(config, "train")
    check_quality(config, source)
    masks = build.learns_from_masks(config)
    view = TrainView(source, config.data.augment.to_dict(), config.runtime.seed, masks)
    validation = build.build_dataset(config, "val") if config.data.get("val") else None
    if validation is not None and validation.classes != source.classes:
        both = f"{', '.join(validation.classes)}; {', '.join(source.classes)}"
        raise UserError(f"data.val has other classes than data.train ({both}): name the same, in the same order")
    if validation is None or not validation.has_masks:
        return view, None
    check_masks(validation, "data.val")
    return view, validation


def check_evaluation(config: Config, classes: tuple[str, ...], students: int) -> None:
    """Find now what would else fail, or never happen, at the first evaluation.

    Raises:
        UserError: ``evaluation.subset`` names no class, or ``evaluation.best`` no metric.
    """
    known = metric_names(config.evaluation.to_dict(), classes, students)
    if config.evaluation.best not in known:
        raise UserError(f"evaluation.best is {config.evaluation.best!r}: choose from {', '.join(sorted(known))}")


def _close(trainer: Trainer) -> None:
    for hook in trainer.hooks:
        if isinstance(hook, ProgressHook):
            hook.close()
        if isinstance(hook, StopHook):
            hook.restore_handlers()
        if isinstance(hook, TrackHook):
            hook.close(1)


def join(launcher: str, device: torch.device) -> tuple[int, int]:
    """Join the other processes; this one's rank and how many there are.

    On the CPU the processes meet by gloo, which mmengine's own start-up cannot do.
    """
    if launcher == "none":
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise UserError("several processes were started, but --launcher is none: add --launcher pytorch")
        return 0, 1
    if not torch.distributed.is_initialized():
        if launcher == "pytorch" and "RANK" not in os.environ:
            raise UserError("--launcher pytorch is for torchrun: torchrun --nproc-per-node 2 -m dupl train ...")
        if device.type == "cpu" and launcher != "pytorch":
            raise UserError(f"--launcher {launcher} needs GPUs: on CPUs use torchrun and --launcher pytorch")
        if device.type == "cpu":
            torch.distributed.init_process_group("gloo")
        else:
            from mmengine.dist import init_dist

            init_dist(launcher)
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def open_run(config: Config, folder: Path, resume: bool, command: Sequence[str], rank: int) -> Run:
    """Create the run's folder, or check that what is there may go on.

    Raises:
        UserError: The folder holds another run, or one that must be resumed explicitly.
    """
    run = Run(folder)
    name = fingerprint(config)
    if rank != 0:
        return run
    if not run.exists():
        return Run.create(folder, catalogue.to_text(config), name, list(command), config.runtime.seed)
    status = run.status
    if status.fingerprint != name:
        changes = diff(catalogue.read(run.config_path), config)
        told = ", ".join(f"{path}: {old!r} -> {new!r}" for path, (old, new) in list(changes.items())[:5])
        raise UserError(f"{folder} holds another run ({told}): choose another folder by --work-dir")
    if status.state == "finished":
        raise UserError(
            f"{folder} holds this very run, finished: evaluate it by dupl eval, or choose another --work-dir"
        )
    if not resume:
        raise UserError(f"{folder} holds this very run, {status.state} at iteration {status.iteration}: add --resume")
    return run


def build_trainer(
    config: Config,
    run: Run,
    model: nn.Module,
    data: tuple[TrainView, ImageSet | None],
    batch: Batch,
    place: tuple[int, int],
    launcher: str,
    console: Console,
    device: torch.device,
    viewer: Viewer,
    tracked: TrackHook | None = None,
) -> Trainer:
    """The mmengine Runner of a run: its loader, optimiser, schedule and hooks."""
    schedule, runtime = config.schedule, config.runtime
    (view, validation), (rank, world) = data, place
    loader = DataLoader(
        view,
        batch_size=batch.per_gpu * batch.accumulate,
        sampler=PositionSampler(len(view), batch.effective, runtime.seed, rank, world),
        num_workers=runtime.workers,
        worker_init_fn=build.worker_apart,
        pin_memory=device.type == "cuda",
    )
    optimizer = build_optimizer(model, schedule, batch.accumulate)
    decay = WarmupPoly(optimizer, schedule.iterations, schedule.warmup, schedule.warmup_ratio, schedule.power)
    scalars = ScalarHook(run, runtime.log_interval, lambda line: console.print(line, soft_wrap=True, highlight=False))
    hooks = [StopHook(), scalars, ProgressHook(scalars, console)]
    hooks.append(CheckpointHook(run, runtime.checkpoint_interval, runtime.keep_checkpoints))
    if validation is not None:
        hooks.append(evaluation_hook(run, config, model, validation, place, console))
    else:
        console.print("no evaluation: data.val has no masks", highlight=False)
    if config.evaluation.get("quality"):
        hooks.append(quality_hook(run, config, model, view.source, place))  # type: ignore[arg-type]
    if config.evaluation.get("gallery"):
        hooks.append(GalleryHook(run, config.evaluation, viewer, "train" if validation is None else "val"))
    if (noise := noise_hook(run, runtime.log_interval, model)) is not None:  # type: ignore[arg-type]
        hooks.append(noise)
    backends: list[Any] = [dict(one) for one in runtime.vis_backends]  # mmengine adds to them
    if tracked is not None:
        hooks.append(tracked)
        backends.append(tracked.rows)
    wrapper = {
        "type": "MMDistributedDataParallel",
        "find_unused_parameters": True,
        "broadcast_buffers": False,
    }
    if device.type == "cpu":
        wrapper["device_ids"] = None
    trainer = Trainer(
        model=model,
        device=device,
        wrapper=wrapper,
        work_dir=str(run.path / "logs"),
        train_dataloader=loader,
        train_cfg=dict(type="TrainLoop", max_iters=schedule.iterations, accumulate=batch.accumulate, seed=runtime.seed),
        optim_wrapper=optimizer,
        param_scheduler=[decay],
        default_hooks=dict.fromkeys(("runtime_info", "timer", "sampler_seed", "logger", "checkpoint")),
        custom_hooks=hooks + list(config.get("hooks", [])),
        launcher=launcher,
        visualizer=dict(type="Visualizer", vis_backends=backends, save_dir=str(run.path / "logs")),
        randomness=dict(seed=runtime.seed),
        experiment_name=f"{run.path.name}-{os.getpid()}",
    )
    trainer.visualizer.add_config(config)
    return trainer


def evaluation_hook(
    run: Run, config: Config, model: nn.Module, source: ImageSet, place: tuple[int, int], console: Console
) -> EvaluateHook:
    """Evaluation of ``data.val`` on all processes, each its share of the images."""
    settings = config.evaluation.to_dict()

    def work() -> Evaluation:
        part = evaluate(model, source, settings, workers=config.runtime.workers, part=place)  # type: ignore[arg-type]
        if place[1] == 1:
            return part
        parts: list[Any] = [None] * place[1]
        torch.distributed.all_gather_object(parts, part)
        return merge(parts, settings)

    facts = {"protocol": PROTOCOL, "size": settings["size"], "data": config.data.val.to_dict()}
    return EvaluateHook(run, settings["interval"], work, settings["best"], console, facts)
