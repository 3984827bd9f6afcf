"""CAMs and segmentation of a few images, as an evaluation has them, for its picture page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from dupl.data.base import ImageSet
from dupl.data.views import EvalView
from dupl.engine.evaluation.final import Final
from dupl.engine.evaluation.protocols import Protocol, Squashed, Who
from dupl.method.base import Method
from dupl.method.cam import Present
from dupl.report.figures.image_row import ImageRow


def panels(protocol: Protocol, part: str, model: Method, source: ImageSet, indices: Sequence[int]) -> list[ImageRow]:
    """One row per image for a part of a protocol; empty where it keeps nothing to show.

    Args:
        protocol: It has evaluated these images.
        part: Its name or that of one of its parts.
        model: In evaluation mode.
        source: The data set.
        indices: Which images.
    """
    if isinstance(protocol, Final):
        return [panel for i in indices if (panel := labelled(protocol, part, source, i)) is not None]
    return [squashed(protocol, model, source, i) for i in indices] if isinstance(protocol, Squashed) else []


def labelled(protocol: Final, part: str, source: ImageSet, i: int) -> ImageRow | None:
    """An image with the label maps that are kept of it: those before the CRF too where the part is the CRF's."""
    parts = [protocol.plain, part] if part != protocol.plain else [part]
    maps = protocol.who.maps("seg")
    found = [protocol.kept[name].read(source.names[i], maps) if name in protocol.kept else None for name in parts]
    labels = [one for one in found if one is not None]
    if len(labels) < len(parts):
        return None
    words = ("",) if len(parts) == 1 else (", no CRF", ", CRF")
    truth = source.mask(i)
    present = set() if truth is None else set(np.unique(truth).tolist())
    return ImageRow(
        name=source.names[i],
        image=source.image(i),
        truth=truth,
        cams=[],
        cam_labels=None,
        pseudo=[],
        noisy=[],
        prediction=[one[name] for name in maps for one in labels],
        tags=tuple(c for k, c in enumerate(source.classes) if k and k in present),
        who=tuple(name + word for name in students(protocol.who) for word in words),
    )


@torch.inference_mode()
def squashed(protocol: Squashed, model: Method, source: ImageSet, i: int) -> ImageRow:
    """An image with its CAMs and, where the protocol has them, its segmentations, at its own size."""
    sample, photo, device = EvalView(source, protocol.size)[i], source.image(i), next(model.parameters()).device
    tags = sample["tags"][None]
    present = Present.of(tags).to(device)
    answer = model.predict(sample["image"][None].to(device), present)
    labels = Squashed.label(protocol, photo[..., 0], tags, answer, 0)  # of the photo, its size
    heat = protocol.heat(photo.shape[:2], answer, 0, present.index.shape[1])
    return ImageRow(
        name=sample["name"],
        image=photo,
        truth=None if sample["mask"] is None else sample["mask"].numpy(),
        cams=[heat[name].amax(1)[0].float().clamp(0, 1).cpu().numpy() for name in protocol.who.maps("cam")],
        cam_labels=[labels[name].astype(np.uint8) for name in protocol.who.maps("cam")],
        pseudo=[],
        noisy=[],
        prediction=[labels[name].astype(np.uint8) for name in protocol.who.maps("seg") if "seg" in protocol.kinds],
        tags=tuple(c for c, on in zip(source.classes[1:], tags[0].tolist(), strict=True) if on),
        who=tuple(students(protocol.who)),
    )


def students(who: Who) -> list[str]:
    """Whose the maps are, in their order."""
    return [f"student {s + 1}" for s in who.students] + ["average"] * who.mean
