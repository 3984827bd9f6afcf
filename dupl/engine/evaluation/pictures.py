"""Pictures of a few images for the page of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from dupl.data.base import ImageSet
from dupl.data.views import EvalView
from dupl.engine.evaluation.final import FinalProtocol
from dupl.engine.evaluation.protocol import Protocol
from dupl.engine.evaluation.selection import MapSelection
from dupl.engine.evaluation.train_time import TrainTimeProtocol
from dupl.method.base import Method
from dupl.method.cam import Present
from dupl.report.figures.image_row import ImageRow


def image_rows(
    protocol: Protocol, part: str, model: Method, source: ImageSet, indices: Sequence[int]
) -> list[ImageRow]:
    """Return one row of pictures per image for a part of a protocol; empty where nothing is cached to show.

    Args:
        protocol: The protocol, which has evaluated these images.
        part: Name of one of its parts.
        model: The model in evaluation mode.
        source: The data set.
        indices: Positions of the images.
    """
    if isinstance(protocol, FinalProtocol):
        return [row for i in indices if (row := _cached_row(protocol, part, source, i)) is not None]
    return (
        [computed_row(protocol, model, source, i) for i in indices] if isinstance(protocol, TrainTimeProtocol) else []
    )


def _cached_row(protocol: FinalProtocol, part: str, source: ImageSet, i: int) -> ImageRow | None:
    """Return an image with its cached label maps; for the part of the CRF, those before the CRF too."""
    parts = [protocol.plain, part] if part != protocol.plain else [part]
    maps = protocol.selection.maps("seg")
    found = [protocol.caches[name].read(source.names[i], maps) if name in protocol.caches else None for name in parts]
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
        who=tuple(name + word for name in _titles(protocol.selection) for word in words),
    )


@torch.inference_mode()
def computed_row(protocol: TrainTimeProtocol, model: Method, source: ImageSet, i: int) -> ImageRow:
    """Return an image with its CAMs and, if the protocol has them, its segmentations, at its own size."""
    sample, photo, device = EvalView(source, protocol.size)[i], source.image(i), next(model.parameters()).device
    tags = sample["tags"][None]
    present = Present.of(tags).to(device)
    answer = model.predict(sample["image"][None].to(device), present)
    labels = TrainTimeProtocol.label(protocol, photo[..., 0], tags, answer, 0)  # the photo gives only the size
    heat = protocol.heat(photo.shape[:2], answer, 0, present.index.shape[1])
    segmentations = protocol.selection.maps("seg") if "seg" in protocol.kinds else []
    return ImageRow(
        name=sample["name"],
        image=photo,
        truth=None if sample["mask"] is None else sample["mask"].numpy(),
        cams=[heat[name].amax(1)[0].float().clamp(0, 1).cpu().numpy() for name in protocol.selection.maps("cam")],
        cam_labels=[labels[name].astype(np.uint8) for name in protocol.selection.maps("cam")],
        pseudo=[],
        noisy=[],
        prediction=[labels[name].astype(np.uint8) for name in segmentations],
        tags=tuple(c for c, on in zip(source.classes[1:], tags[0].tolist(), strict=True) if on),
        who=tuple(_titles(protocol.selection)),
    )


def _titles(selection: MapSelection) -> list[str]:
    """Return titles of the maps, in their order."""
    return [f"student {s + 1}" for s in selection.students] + ["average"] * selection.mean
