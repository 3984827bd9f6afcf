"""Building the mmengine Runner of a run, with its loader, optimiser and hooks."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader

from dupl.config.batch import Batch
from dupl.data.base import ImageSet
from dupl.engine import build
from dupl.engine.evaluation.evaluate import evaluate
from dupl.engine.evaluation.result import EvaluationResult, best_metric, merge
from dupl.engine.training.backends import build_backends
from dupl.engine.training.checkpoint_hook import CheckpointHook
from dupl.engine.training.detector_hook import detector_hook
from dupl.engine.training.evaluate_hook import EvaluateHook
from dupl.engine.training.gallery import GalleryHook
from dupl.engine.training.label_quality import quality_hook
from dupl.engine.training.loop import PositionSampler, TrainLoop  # noqa: F401  (the Runner finds TrainLoop by name)
from dupl.engine.training.noise_statistics import noise_hook
from dupl.engine.training.optimizer import WarmupPoly, build_optimizer
from dupl.engine.training.processes import Process
from dupl.engine.training.progress_hook import ProgressHook
from dupl.engine.training.run_backend import RunBackend
from dupl.engine.training.scalar_hook import ScalarHook
from dupl.engine.training.step import train_step
from dupl.engine.training.stop_hook import Abandoned, StopHook
from dupl.engine.training.tracking import TrackHook
from dupl.engine.training.validate import TrainingData
from dupl.engine.training.viewer import Viewer
from dupl.errors import UserError
from dupl.method.base import Method
from dupl.runs.evaluation import AS_IN_TRAINING
from dupl.runs.run import Run


@dataclass(frozen=True)
class Setup:
    """The parts of a training.

    Attributes:
        config: The resolved recipe.
        run: The run's folder.
        model: The model on its device.
        data: The data sets.
        batch: The batch of one optimiser step.
        process: This process.
        console: Console for messages; silent in all processes but the first.
        wandb: "off", "offline" or "online".
        reads: What the run reads by split, in the first process, see `dupl.engine.data_digest.digests`.
        forks: Iterations whose checkpoints are kept, because other runs begin as them.
    """

    config: Config
    run: Run
    model: Method
    data: TrainingData
    batch: Batch
    process: Process
    console: Console
    wandb: str
    reads: Mapping[str, Any] = field(default_factory=dict)
    forks: Collection[int] = ()


class Trainer(Runner):
    """mmengine's Runner on a chosen device, with its log in the run's folder and not on the terminal.

    It does not receive the recipe, because it would write it into every checkpoint.
    """

    def __init__(self, *args: Any, device: torch.device, wrapper: dict[str, Any], **kwargs: Any) -> None:
        self.device, self.wrapper = device, wrapper
        super().__init__(*args, **kwargs)

    def build_logger(self, log_level: int | str = "INFO", log_file: str | None = None, **kwargs: Any) -> MMLogger:
        """Build the logger, which prints only errors to the terminal."""
        logger = super().build_logger(log_level, log_file, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                handler.setLevel(logging.ERROR)
        return logger

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        """Keep the model on its device, and wrap it only for several processes."""
        model.train_step = train_step  # type: ignore[assignment]  # the Runner demands one, the loop calls the function
        return super().wrap_model(self.wrapper, model) if self.distributed else model

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Load a checkpoint on the CPU; optimiser states then follow their parameters."""
        super().resume(filename, map_location="cpu")

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> Any:
        """Load a checkpoint that has each weight of the model and no other.

        Raises:
            UserError: It has others: code of another version saved it.
        """
        try:
            return super().load_checkpoint(filename, "cpu", strict=True)
        except RuntimeError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            told = next((line for line in lines if " keys " in line), lines[0])
            raise UserError(
                f"{filename} does not fit the model of this code ({told[:200]}): resume with the code that saved it "
                "(its status has the commit), or train again in another folder"
            ) from None

    def resume_from(self, checkpoint: Path) -> None:
        """Make training continue from a checkpoint."""
        self._resume, self._load_from = True, str(checkpoint)

    @property
    def interrupted(self) -> bool:
        """Whether training was stopped before its last iteration or its last evaluation."""
        return self.train_loop.stop_training and (self.iter < self.max_iters or self.train_loop.unfinished)

    def close_trackers(self, state: str) -> None:
        """Close the runs of further trackers with the state in which training ended."""
        for backend in self.visualizer._vis_backends.values():
            if isinstance(backend, RunBackend):
                backend.finish(state)

    def release(self) -> None:
        """After an error, give back terminal and signal handlers, and end the trackers."""
        self.close_trackers("failed")
        for hook in self.hooks:
            if isinstance(hook, ProgressHook):
                hook.close()
            if isinstance(hook, StopHook):
                hook.restore_handlers()
            if isinstance(hook, TrackHook):
                hook.close(1)


def build_trainer(setup: Setup, launcher: str) -> Trainer:
    """Build the Runner of a run."""
    config, run, batch, device = setup.config, setup.run, setup.batch, setup.process.device
    schedule, seed = config.schedule, config.runtime.seed
    optimizer = build_optimizer(setup.model, schedule, batch.losses, config.runtime.precision)
    decay = WarmupPoly(optimizer, schedule.iterations, schedule.warmup, schedule.warmup_ratio, schedule.power)
    hooks, backends = _hooks(setup)
    wrapper = dict(type="MMDistributedDataParallel", find_unused_parameters=True, broadcast_buffers=False)
    if device.type == "cpu":
        wrapper["device_ids"] = None
    trainer = Trainer(
        model=setup.model,
        device=device,
        wrapper=wrapper,
        work_dir=str(run.path / "logs"),
        train_dataloader=_loader(setup),
        train_cfg=dict(type="TrainLoop", max_iters=schedule.iterations, losses=batch.losses, seed=seed),
        optim_wrapper=optimizer,
        param_scheduler=[decay],
        default_hooks=dict.fromkeys(("runtime_info", "timer", "sampler_seed", "logger", "checkpoint")),
        custom_hooks=hooks + list(config.get("hooks", [])),
        launcher=launcher,
        visualizer=dict(type="Visualizer", vis_backends=backends, save_dir=str(run.path / "logs")),
        randomness=dict(seed=seed),
        experiment_name=f"{run.path.name}-{os.getpid()}",
    )
    trainer.visualizer.add_config(config)
    return trainer


def _loader(setup: Setup) -> DataLoader[Any]:
    """Build the loader of this process's part of each batch."""
    view, batch, process, runtime = setup.data.view, setup.batch, setup.process, setup.config.runtime
    return DataLoader(
        view,
        batch_size=batch.images_of_process,
        sampler=PositionSampler(len(view), batch.images, runtime.seed, process.rank, process.world),
        num_workers=runtime.workers,
        worker_init_fn=build.worker_apart,
        pin_memory=process.device.type == "cuda",
    )


def _hooks(setup: Setup) -> tuple[list[Hook], list[Any]]:
    """Build the hooks of a run, and the backends of its visualizer."""
    config, run, model, data, console = setup.config, setup.run, setup.model, setup.data, setup.console
    runtime, process = config.runtime, setup.process

    def say(line: str) -> None:
        console.print(line, soft_wrap=True, highlight=False)

    scalars = ScalarHook(run, runtime.log_interval, say)
    stop = StopHook()
    hooks: list[Hook] = [stop, scalars, ProgressHook(scalars, console)]
    classes, evaluated = data.view.source.classes, data.validation is not None or config.evaluation.get("quality")
    evaluations = config.evaluation.interval if evaluated else None
    hooks.append(
        CheckpointHook(run, runtime.checkpoint_interval, runtime.keep_checkpoints, classes, evaluations, setup.forks)
    )
    if data.validation is not None:
        hooks.append(_evaluation_hook(setup, data.validation, stop))
    else:
        console.print("no evaluation: the recipe has no data.val", highlight=False)
    if config.evaluation.get("quality"):
        hooks.append(quality_hook(run, config, model, data.view.source, (process.rank, process.world)))
    viewer = Viewer(model, data.shown, config.evaluation)
    if config.evaluation.get("gallery"):
        hooks.append(GalleryHook(run, config.evaluation, viewer, "train" if data.validation is None else "val"))
    further = (
        noise_hook(run, runtime.log_interval, model),
        detector_hook(run, runtime.log_interval, model, classes, say),
    )
    hooks += [hook for hook in further if hook is not None]
    backends = build_backends(runtime.vis_backends, run, say) if process.is_first else []
    if setup.wandb != "off" and process.is_first:
        tracked = TrackHook(run, config, model, viewer, setup.wandb, console)
        hooks.append(tracked)
        backends.append(tracked.rows)
    return hooks, backends


def _evaluation_hook(setup: Setup, source: ImageSet, stop: StopHook) -> EvaluateHook:
    """Build the hook that evaluates ``data.val`` on all processes, each with a share of the images."""
    config, world = setup.config, setup.process.world
    settings = config.evaluation.to_dict()

    def work() -> EvaluationResult:
        share = (setup.process.rank, world)
        part: EvaluationResult | None = None
        with suppress(Abandoned):
            part = evaluate(
                setup.model, source, settings, workers=config.runtime.workers, part=share, progress=stop.look
            )
        parts: list[Any] = [part]
        if world > 1:  # also of a process that gave up, so that all know
            parts = [None] * world
            torch.distributed.all_gather_object(parts, part)
        if None in parts:
            raise Abandoned
        return merge(parts, settings) if world > 1 else parts[0]

    facts = {"protocol": AS_IN_TRAINING, "size": settings["size"], "data": config.data.val.to_dict()}
    facts["read"] = setup.reads.get("val", {}).get("id")
    best = best_metric(settings, source, len(setup.model.students))
    return EvaluateHook(setup.run, settings["interval"], work, best, setup.console, facts, setup.forks)
