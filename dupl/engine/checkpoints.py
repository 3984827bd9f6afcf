"""Checkpoints that are whole or absent, load without running code, and convert the released layout."""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from dupl.atomic import sync_folder
from dupl.errors import UserError
from dupl.runs import layout
from dupl.runs.run import Run


class CheckpointHook(Hook):
    """Writes a checkpoint every ``interval`` iterations and at the end; keeps the newest ``keep``.

    It acts after the evaluation of the same iteration, so that a resumed run repeats neither. A checkpoint made at a
    stop, between the intervals, goes as soon as there is a later one, so that a run that was stopped leaves the files
    of one that was not. Each holds the run's scalars and status too, in case their files are damaged.

    Args:
        run: The run's folder.
        interval: In iterations.
        keep: Newest checkpoints to keep.
    """

    priority = "VERY_LOW"

    def __init__(self, run: Run, interval: int, keep: int = 2) -> None:
        self.run, self.interval, self.keep = run, interval, keep
        self.seconds_before = 0.0

    def before_train(self, runner: Any) -> None:
        """Know the seconds of earlier attempts, and clear away what a killed one had begun to write."""
        self.seconds_before = self.run.status.seconds
        if runner.rank == 0:
            for part in (self.run.path / layout.CHECKPOINTS).glob(".*.part"):
                part.unlink()
            self.prune(runner.iter)  # a kill may have come between a checkpoint and this

    def after_iteration(self, runner: Any) -> None:
        """Save where it is time."""
        done = runner.iter
        if done % self.interval == 0 or done == runner.max_iters or runner.train_loop.stop_training:
            runner.train_loop.prove_finite()
            self.save(runner)

    def save(self, runner: Any) -> None:
        """Write a checkpoint under a temporary name, then give it its own."""
        if runner.rank != 0:
            return
        file = self.run.path / layout.checkpoint(runner.iter)
        file.parent.mkdir(exist_ok=True)
        meta = {"iter": runner.iter, "epoch": 0, "fingerprint": self.run.status.fingerprint}
        with draft(file) as part:
            runner.save_checkpoint(str(file.parent), part.name, meta=meta, by_epoch=False)
        self.run.update(iteration=runner.iter, seconds=self.seconds_before + runner.train_loop.spent)
        self.prune(runner.iter)

    def prune(self, iteration: int) -> None:
        """Remove what the checkpoint of an iteration makes superfluous; later ones are none of its business."""
        older = [file for file in layout.checkpoints(self.run.path) if file[0] < iteration]
        regular = [file for file in older if file[0] % self.interval == 0]
        for file in {*older} - {*regular[: self.keep - 1]}:
            file[1].unlink(missing_ok=True)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Leave only what loads with ``weights_only=True``: tensors and plain Python values."""
        checkpoint["message_hub"] = {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}}
        status = json.dumps({**asdict(self.run.status), "iteration": runner.iter})
        kept = {"status": status, "scalars": self.run.scalars_text()}
        checkpoint["meta"] = plain(checkpoint["meta"] | kept)
        checkpoint["param_schedulers"] = plain(checkpoint["param_schedulers"])


def plain(value: Any) -> Any:
    """Numpy scalars as Python ones, all the way down."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


@contextmanager
def draft(final: Path) -> Iterator[Path]:
    """A name to write a large file under; finished, it is flushed to the disk and gets its own, else it is removed."""
    part = final.with_name(f".{final.name}.part")
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, final)
        sync_folder(final.parent)
    finally:
        part.unlink(missing_ok=True)


def load(file: Path) -> dict[str, Any]:
    """A checkpoint on the CPU; nothing in the file is executed.

    Raises:
        UserError: Missing, damaged, or holding more than tensors and plain values.
    """
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"no checkpoint {file}") from None
    except Exception as error:
        raise UserError(f"{file} is damaged or no plain checkpoint: {_reason(file, error)}") from error
    if not isinstance(checkpoint, dict):
        raise UserError(f"{file} holds no checkpoint, but a {type(checkpoint).__name__}")
    return checkpoint


def _reason(file: Path, error: Exception) -> str:
    """Why a file does not load, and what to do, in few words."""
    if file.is_dir():
        return "it is a folder"
    with open(file, "rb") as data:
        head = data.read(2)
    if head not in (b"PK", b"\x80\x02"):  # zip archives, and the pickles of old
        return "torch.save did not write it" if head else "it is empty; use an earlier one"
    if isinstance(error, pickle.UnpicklingError):
        return "it holds more than tensors and plain values, and none of it is executed"
    return f"{' '.join(str(error).split())[:120]}; use an earlier one"


def iteration_of(file: Path) -> int | None:
    """The iteration whose weights a checkpoint of ours holds; None where it does not say."""
    try:
        return int(torch.load(file, map_location="cpu", weights_only=True, mmap=True)["meta"]["iter"])
    except Exception:
        return None


def newest_valid(run: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that loads, and a line for each that was passed over."""
    passed: list[str] = []
    for _, file in layout.checkpoints(run):
        try:
            load(file)
            return file, passed
        except UserError as error:
            passed.append(str(error))
    return None, passed


def load_weights(model: nn.Module, file: Path) -> None:
    """Load a checkpoint of ours, of the released code, or of ToCo (one branch; other keys than its heads refused).

    Raises:
        UserError: Keys are missing, unknown or of another shape; they are listed.
    """
    checkpoint = load(file)
    state = checkpoint.get("state_dict", checkpoint.get("model", checkpoint))
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise UserError(f"{file} holds no state_dict")
    expected = model.state_dict()
    converted = convert(state, set(expected))
    missing = [k for k in expected if k not in converted]
    unknown = [k for k in converted if k not in expected]
    shapes = [
        f"{k} {tuple(converted[k].shape)} for {tuple(expected[k].shape)}"
        for k in expected
        if k in converted and converted[k].shape != expected[k].shape
    ]
    problems = [("missing", missing), ("unknown", unknown), ("of another shape", shapes)]
    told = "; ".join(f"{len(keys)} {what}: {', '.join(keys)}" for what, keys in problems if keys)
    if told:
        raise UserError(f"{file} does not fit the recipe's model: {told}")
    model.load_state_dict(converted)


RENAME = (  # released layout -> ours, below a student
    (r"^encoder\.", "backbone.vit."),
    (r"^decoder\.conv6\.", "head.0."),
    (r"^decoder\.conv7\.", "head.2."),
    (r"^decoder\.conv8\.", "head.4."),
)
# Parts of released files that the method does not have: an unused mask token, an ImageNet head, ToCo's projections.
UNUSED = re.compile(r"^(encoder\.(mask_token|head\.)|proj_head|proj_head_t)")


def convert(state: dict[str, Tensor], expected: set[str]) -> dict[str, Tensor]:
    """Keys of a released checkpoint, or of ToCo's single branch, as ours; ours unchanged.

    Released layout: ``[module.]branch{1,2}.{encoder,decoder,classifier,aux_classifier}``; ToCo's is one such branch
    without the prefix. Unknown keys keep their name, so that the caller lists them.
    """
    state = {k.removeprefix("module."): v for k, v in state.items()}
    if set(state) & expected:
        return state
    converted: dict[str, Tensor] = {}
    for key, value in state.items():
        branch = re.match(r"branch(\d)\.", key)
        student = int(branch[1]) - 1 if branch else 0
        inner = key[branch.end() :] if branch else key
        if UNUSED.match(inner):
            continue
        for old, new in RENAME:
            inner = re.sub(old, new, inner)
        if inner in ("classifier.weight", "aux_classifier.weight") and value.ndim == 4:
            value = value[:, :, 0, 0]
        ours = f"students.nets.{student}.{inner}"
        converted[ours if ours in expected else key] = value
    return converted
