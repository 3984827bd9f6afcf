"""Loading weights into a model, also from the layouts of released checkpoints."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from dupl.engine.checkpoints import load
from dupl.errors import UserError
from dupl.method.released_layout import convert


def load_weights(model: nn.Module, file: Path) -> None:
    """Load a checkpoint of this package, of the released code, or of ToCo or CoSA (one branch) into a model.

    CoSA's release saves one of its two networks; both networks of the model get its weights.

    Raises:
        UserError: Keys are missing, unknown or of another shape; the message lists them.
    """
    checkpoint = load(file)
    state = checkpoint.get("state_dict", checkpoint.get("model", checkpoint))
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise UserError(f"{file} has no state_dict; give a file of weights")
    expected = model.state_dict()
    converted = convert(state, set(expected))
    if getattr(model, "learns_from_average", False):
        converted = _for_both(converted, set(expected))
    missing = [k for k in expected if k not in converted]
    unknown = [k for k in converted if k not in expected]
    shapes = [
        f"{k} {tuple(converted[k].shape)} for {tuple(expected[k].shape)}"
        for k in expected
        if k in converted and converted[k].shape != expected[k].shape
    ]
    problems = [("missing", missing), ("unknown", unknown), ("of another shape", shapes)]
    listed = "; ".join(f"{len(keys)} {what}: {', '.join(keys)}" for what, keys in problems if keys)
    if listed:
        raise UserError(f"{file} does not fit the recipe's model: {listed}")
    model.load_state_dict(converted)


def _for_both(state: dict[str, Tensor], expected: set[str]) -> dict[str, Tensor]:
    """Give the second network the weights of the first, if the state has the first alone."""
    first, second = "students.nets.0.", "students.nets.1."
    if any(key.startswith(second) for key in state):
        return state
    copies = {key.replace(first, second, 1): value for key, value in state.items() if key.startswith(first)}
    return state | {key: value for key, value in copies.items() if key in expected}
