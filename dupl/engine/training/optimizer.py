"""The optimiser, AdamW in four parameter groups, and the released learning-rate schedule."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from torch import nn


def param_groups(model: nn.Module, lr: float, weight_decay: float, head_lr: float) -> list[dict[str, Any]]:
    """Group the parameters: backbone, its norms, classifiers, segmentation heads and projectors.

    Released code, also of ToCo: the heads at 10 times the rate, weight decay on the norms too.

    Args:
        model: A ``Method``.
        lr: Learning rate of the backbone.
        weight_decay: Weight decay of every group.
        head_lr: Factor on ``lr`` for whatever is not a backbone.
    """
    names = ("backbone", "norm", "classifier", "segmentation", "projector")
    groups: dict[str, list[nn.Parameter]] = {name: [] for name in names}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if ".backbone." in name:
            groups["norm" if "norm" in name else "backbone"].append(parameter)
        elif ".projectors." in name:
            groups["projector"].append(parameter)
        else:
            groups["classifier" if "classifier" in name else "segmentation"].append(parameter)
    return [
        {
            "params": parameters,
            "lr": lr if name in ("backbone", "norm") else lr * head_lr,
            "weight_decay": weight_decay,
            "name": name,
        }
        for name, parameters in groups.items()
        if parameters
    ]


def build_optimizer(model: nn.Module, schedule: dict[str, Any], accumulate: int) -> OptimWrapper:
    """Build AdamW over ``param_groups``, with its fused kernel.

    Args:
        model: The model, already on its device.
        schedule: The recipe's schedule: lr, weight_decay, betas, head_lr.
        accumulate: Micro-batches of one step.
    """
    groups = param_groups(model, schedule["lr"], schedule["weight_decay"], schedule["head_lr"])
    optimizer = torch.optim.AdamW(groups, lr=schedule["lr"], betas=tuple(schedule["betas"]), fused=True)
    return OptimWrapper(optimizer, accumulative_counts=accumulate)


def rate_factor(t: int, T: int, warmup: int, warmup_ratio: float, power: float) -> float:
    """Return the factor on every learning rate in iteration t of T.

    Released code: linear from ``warmup_ratio`` over ``warmup`` iterations, then (1 - t / T)^power, which the warm-up
    does not shift: the rate drops a little where they meet.
    """
    if t < warmup:
        return 1 - (1 - t / warmup) * (1 - warmup_ratio)
    return max(0.0, 1 - t / T) ** power


class WarmupPoly(_ParamScheduler):
    """Apply ``rate_factor`` as an mmengine scheduler.

    Args:
        optimizer: The optimiser wrapper.
        T: Iterations of the run.
        warmup: Iterations of the warm-up.
        warmup_ratio: Factor at iteration 0.
        power: Exponent of the polynomial decay.
    """

    def __init__(self, optimizer: OptimWrapper, T: int, warmup: int, warmup_ratio: float, power: float) -> None:
        self.T, self.warmup, self.warmup_ratio, self.power = T, warmup, warmup_ratio, power
        super().__init__(optimizer, param_name="lr", by_epoch=False)

    def _get_value(self) -> list[float]:
        factor = rate_factor(self.last_step, self.T, self.warmup, self.warmup_ratio, self.power)
        return [base * factor for base in self.base_values]
