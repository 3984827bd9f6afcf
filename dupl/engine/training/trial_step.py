"""A training step and an evaluation of two images before a run starts, so that what fails there costs no training."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch.utils.data import default_collate

from dupl.data.base import ImageSet
from dupl.data.views import TrainView
from dupl.engine.error_explanations import memory
from dupl.engine.evaluation.evaluate import evaluate
from dupl.engine.preprocess import to_device
from dupl.engine.training.validate import TrainingData
from dupl.errors import RunError, UserError
from dupl.method.base import Method
from dupl.structures import Clock

IMAGES = 2
LIBRARIES = {"torch", "torchvision", "timm", "numpy", "PIL"}  # whose frames of a traceback say nothing of a setting
Step = Callable[[Config, Method, Any], None]


def take_trial_steps(config: Config, model: Method, data: TrainingData, advice: str = "") -> None:
    """Train on two images at the last iteration, when every component acts, and evaluate two images.

    A copy of the model does it, no optimiser steps, and the states of all random generators are restored: training
    gives the same numbers with and without it.

    Args:
        config: A resolved recipe.
        model: The model on its device.
        data: The data of the training.
        advice: Settings that take less memory, for the message.

    Raises:
        UserError: A step failed; the line names the error and its place.
        RunError: Memory ran out.
    """
    try:
        trial = deepcopy(model)
    except (TypeError, RuntimeError, NotImplementedError):
        return  # a component of one's own that cannot be copied
    with _random_states_kept(trial):
        _attempt(_train, config, trial, data.view, advice)
        if data.validation is not None:
            _attempt(_evaluate, config, trial, data.validation, advice)


@contextmanager
def _random_states_kept(model: Method) -> Iterator[None]:
    """Restore the states of all random generators at the end."""
    python, arrays, device = random.getstate(), np.random.get_state(), _device(model)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
    random.setstate(python)
    np.random.set_state(arrays)


def _attempt(step: Step, config: Config, model: Method, data: Any, advice: str) -> None:
    """Take a step; turn whatever goes wrong into one line."""
    try:
        step(config, model, data)
    except (UserError, RunError):
        raise
    except Exception as error:  # components are programs, and may fail in any way
        if (line := memory(error, advice, 0)) is not None:
            raise RunError(line) from error
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if not set(Path(frame.filename).parts) & LIBRARIES]
        place = f"{Path(own[-1].filename).name}, line {own[-1].lineno}"
        text = " ".join(str(error).split())[:300]
        raise UserError(
            f"the trial {WORDS[step]} of {IMAGES} images failed ({place}): {type(error).__name__}: {text}; "
            "nothing was trained: correct the settings that this place reads"
        ) from error


def _train(config: Config, model: Method, view: TrainView) -> None:
    """Compute loss and gradients of the first images at the last iteration."""
    total = config.schedule.iterations
    samples = [view[0, i] for i in range(min(IMAGES, len(view)))]
    batch = default_collate(samples) | {"clock": Clock(total - 1, total)}
    model.train()
    model(mode="loss", **to_device(batch, _device(model)))["loss"].backward()
    model.zero_grad(set_to_none=True)


def _evaluate(config: Config, model: Method, source: ImageSet) -> None:
    """Evaluate images as during training, such that have masks if there are any."""
    having = [i for i in range(len(source)) if source.mask_file(i) is not None] or list(range(len(source)))
    evaluate(model, source, config.evaluation.to_dict(), images=having[:IMAGES])


WORDS = {_train: "training step", _evaluate: "evaluation"}


def _device(model: Method) -> torch.device:
    return next(model.parameters()).device
