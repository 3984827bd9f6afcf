"""The effective batch of a recipe on a number of processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from dupl.errors import UserError


@dataclass(frozen=True)
class Batch:
    """The images of one optimiser step: gpus x per_gpu x accumulate.

    Attributes:
        gpus: Number of processes.
        per_gpu: Images of one micro-batch in one process.
        accumulate: Micro-batches of one optimiser step.
    """

    gpus: int
    per_gpu: int
    accumulate: int

    @property
    def effective(self) -> int:
        """Number of images of one optimiser step."""
        return self.gpus * self.per_gpu * self.accumulate

    def __str__(self) -> str:
        """Describe the batch for messages."""
        parts = f"{self.gpus} process(es) x {self.per_gpu} x {self.accumulate} accumulated"
        return f"effective batch {self.effective} = {parts}"


def plan_batch(schedule: Mapping[str, Any], gpus: int) -> Batch:
    """Divide the batch of a recipe among processes.

    Args:
        schedule: The recipe's schedule: batch_size, accumulate, per_gpu, allow_other_batch.
        gpus: Number of processes.

    Raises:
        UserError: The result is not the recipe's ``batch_size``, and ``allow_other_batch`` is not set.
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


def memory_advice(config: Config, batch: Batch) -> str:
    """List the settings that make a step take less memory, with their present values."""
    tries = []
    if batch.per_gpu > 1:
        tries.append(f"schedule.accumulate={2 * batch.accumulate} (now {batch.accumulate}: the batch in more parts)")
    tries.append(f"a smaller schedule.batch_size (now {config.schedule.batch_size})")
    if crop := config.data.augment.get("crop"):
        tries.append(f"a smaller data.augment.crop (now {crop})")
    if config.runtime.amp in ("off", "cam"):
        tries.append(f"runtime.amp=bf16 (now {config.runtime.amp})")
    return f"{', '.join(tries)} with --set, as another run in another folder"
