"""Loading weights into a model, also from the layouts of the released code and of ToCo."""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor, nn

from dupl.engine.checkpoints import load
from dupl.errors import UserError


def load_weights(model: nn.Module, file: Path) -> None:
    """Load a checkpoint of this package, of the released code, or of ToCo (one branch) into a model.

    Raises:
        UserError: Keys are missing, unknown or of another shape; the message lists them.
    """
    checkpoint = load(file)
    state = checkpoint.get("state_dict", checkpoint.get("model", checkpoint))
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise UserError(f"{file} has no state_dict; give a file of weights")
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
    listed = "; ".join(f"{len(keys)} {what}: {', '.join(keys)}" for what, keys in problems if keys)
    if listed:
        raise UserError(f"{file} does not fit the recipe's model: {listed}")
    model.load_state_dict(converted)


RENAME = (  # key in the released layout -> key here, below a student
    (r"^encoder\.", "backbone.vit."),
    (r"^decoder\.conv6\.", "head.0."),
    (r"^decoder\.conv7\.", "head.2."),
    (r"^decoder\.conv8\.", "head.4."),
)
# Parts of released files that the model does not have: an unused mask token, an ImageNet head, ToCo's projections.
UNUSED = re.compile(r"^(encoder\.(mask_token|head\.)|proj_head|proj_head_t)")


def convert(state: dict[str, Tensor], expected: set[str]) -> dict[str, Tensor]:
    """Rename the keys of a released checkpoint, or of ToCo's single branch, to those here; keep keys from here.

    Released layout: ``branch{1,2}.{encoder,decoder,classifier,aux_classifier}`` behind any ``module.``. ToCo's layout
    is one such branch without the prefix. Unknown keys keep their name, so that the caller can list them.
    """
    state = {re.sub(r"^(module\.)+", "", k): v for k, v in state.items()}
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
