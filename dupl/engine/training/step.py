"""One forward and backward pass of a method, and the optimiser's step when its batch is complete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from dupl.engine.preprocess import to_device
from dupl.engine.training.finite_guard import FiniteGuard


def train_step(
    model: nn.Module, data: Mapping[str, Any], optimizer: OptimWrapper, guard: FiniteGuard
) -> dict[str, Tensor]:
    """Compute one loss and its gradients, and step where the batch is complete.

    Args:
        model: A ``Method``, or its wrapper for several processes.
        data: The images of one loss with the clock, see ``to_device``.
        optimizer: Decides when gradients are complete and steps.
        guard: Checks the terms of the loss.

    Returns:
        Scalars to log: the loss, its terms and what else the method reports; nothing is averaged over processes.

    Raises:
        FloatingPointError: A term is not finite; on a GPU it is raised one step later.
    """
    with optimizer.optim_context(model):
        losses = model(mode="loss", **to_device(data, next(model.parameters()).device))
    guard({name: value for name, value in losses.items() if name.startswith("L_")})
    optimizer.update_params(losses["loss"])
    return {name: value.detach() for name, value in losses.items()}
