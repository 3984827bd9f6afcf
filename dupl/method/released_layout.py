"""Layouts of released checkpoints: their keys as those of the models here."""

from __future__ import annotations

import re

from torch import Tensor

from dupl.errors import UserError

RENAME = (  # key in the released layout -> key here, below a student
    (r"^encoder\.", "backbone.vit."),
    (r"^decoder\.conv6\.", "head.0."),
    (r"^decoder\.conv7\.", "head.2."),
    (r"^decoder\.conv8\.", "head.4."),
    (r"^decoder\.linear_(c\d)\.proj\.", r"head.linear_\1."),  # of AFA
    (r"^decoder\.linear_fuse\.conv\.", "head.linear_fuse."),
    (r"^decoder\.linear_fuse\.bn\.", "head.norm."),
    (r"^decoder\.linear_pred\.", "head.linear_pred."),
)
PROJECTIONS = (  # of ToCo: the projector of a student, and its moving average
    (r"^proj_head\.(mlp\.\d\.\w+)$", r"class_contrast.projectors.{student}.\1"),
    (r"^proj_head\.last_layer\.weight_v$", "class_contrast.projectors.{student}.vectors.weight"),
    (r"^proj_head_t\.(mlp\.\d\.\w+)$", r"class_contrast.teachers.{student}.\1"),
    (r"^proj_head_t\.last_layer\.weight_v$", "class_contrast.teachers.{student}.vectors.weight"),
)
# Parts of released files that no model here has: an unused mask token, an ImageNet head, a counter of batches.
UNUSED = re.compile(r"^encoder\.(mask_token|head\.)|.*\.num_batches_tracked$")
GAIN = re.compile(r"^proj_head(_t)?\.last_layer\.weight_g$")


def convert(state: dict[str, Tensor], expected: set[str]) -> dict[str, Tensor]:
    """Rename the keys of a checkpoint of the released code of DuPL, ToCo or AFA to those here; keep keys from here.

    DuPL's layout: ``branch{1,2}.{encoder,decoder,classifier,aux_classifier}`` behind any ``module.``. ToCo's layout is
    one such branch without the prefix, with ``proj_head`` and its average ``proj_head_t``, which are left out where the
    model has no class token contrast; so is AFA's, with ``attn_proj``, which is left out where the model has no
    affinity. Unknown keys keep their name, so that the caller can list them.

    Args:
        state: Weights by key.
        expected: Keys of the model.

    Raises:
        UserError: A projection has gains other than 1, which the released code holds fixed.
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
        if inner.startswith(("proj_head.", "proj_head_t.")):
            if GAIN.match(inner) and not bool((value == 1).all()):
                raise UserError(f"{key} has gains other than 1, and the projector here has none: give another file")
            if not GAIN.match(inner) and any(name.startswith("class_contrast.") for name in expected):
                converted[_projection(inner, student)] = value
            continue
        if inner.startswith("attn_proj."):  # of AFA
            if any(name.startswith("affinity.") for name in expected):
                converted[inner.replace("attn_proj", f"affinity.heads.{student}")] = value.reshape(value.shape[:2])
            continue
        for old, new in RENAME:
            inner = re.sub(old, new, inner)
        if inner in ("classifier.weight", "aux_classifier.weight") and value.ndim == 4:
            value = value[:, :, 0, 0]
        ours = f"students.nets.{student}.{inner}"
        converted[ours if ours in expected else key] = value
    return converted


def _projection(key: str, student: int) -> str:
    for old, new in PROJECTIONS:
        key = re.sub(old, new.format(student=student), key)
    return key
