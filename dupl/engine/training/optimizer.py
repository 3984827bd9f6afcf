"""The optimiser, AdamW in four parameter groups, and the released learning-rate schedule."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from torch import nn


def param_groups(
    model: nn.Module, lr: float, weight_decay: float, head_lr: float, norm_lr: float = 1.0
) -> list[dict[str, Any]]:
    """Group the parameters: backbone, its norms, classifiers, segmentation heads and projectors.

    Released code, also of ToCo: the heads at 10 times the rate, weight decay on the norms too.

    Args:
        model: A ``Method``.
        lr: Learning rate of the backbone.
        weight_decay: Weight decay of every group.
        head_lr: Factor on ``lr`` for whatever is not a backbone.
        norm_lr: Factor on ``lr`` for the norms of the backbone; with 0 they stay as they are. Released code of AFA: 0.
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
            "lr": lr * {"backbone": 1.0, "norm": norm_lr}.get(name, head_lr),
            "weight_decay": weight_decay,
            "name": name,
        }
        for name, parameters in groups.items()
        if parameters
    ]


class ScaledOptimizer(OptimWrapper):
    """An optimiser wrapper for float16, whose small gradients would become 0.

    The loss is scaled by a power of two before the backward pass. A step whose gradients overflow is skipped and
    halves the scale; 2,000 steps without one double it. The scale is part of a checkpoint.

    Args:
        optimizer: The optimiser.
        accumulative_counts: Losses of one step.
        device: "cuda" or "cpu".
    """

    def __init__(self, optimizer: torch.optim.Optimizer, accumulative_counts: int, device: str) -> None:
        super().__init__(optimizer, accumulative_counts=accumulative_counts)
        self.scaler = torch.amp.GradScaler(device)

    def backward(self, loss: torch.Tensor, **kwargs: Any) -> None:
        """Add the gradients of the scaled loss."""
        super().backward(self.scaler.scale(loss), **kwargs)

    def step(self, **kwargs: Any) -> None:
        """Step by the unscaled gradients, unless one overflowed, and adapt the scale."""
        self.scaler.step(self.optimizer, **kwargs)
        self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimiser, with the scale."""
        return {**super().state_dict(), "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
        state = dict(state_dict)
        self.scaler.load_state_dict(state.pop("scaler"))
        super().load_state_dict(state)


def build_optimizer(model: nn.Module, schedule: dict[str, Any], losses: int, precision: str = "off") -> OptimWrapper:
    """Build AdamW over ``param_groups``, with its fused kernel.

    Args:
        model: The model, already on its device.
        schedule: The recipe's schedule: lr, weight_decay, betas, head_lr, and norm_lr where it is stated.
        losses: Losses of one step in this process, whose gradients are averaged.
        precision: ``runtime.precision``; "fp16" adds a gradient scaler.
    """
    factors = schedule["head_lr"], schedule.get("norm_lr", 1.0)
    groups = param_groups(model, schedule["lr"], schedule["weight_decay"], *factors)
    optimizer = torch.optim.AdamW(groups, lr=schedule["lr"], betas=tuple(schedule["betas"]), fused=True)
    if precision == "fp16":
        return ScaledOptimizer(optimizer, losses, next(model.parameters()).device.type)
    return OptimWrapper(optimizer, accumulative_counts=losses)


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
