"""The evaluation protocol during training, and that of CAMs over thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from dupl.data.base import ImageSet
from dupl.data.views import EvalView
from dupl.engine import build
from dupl.engine.evaluation.protocol import LabelledImage, Labels, Protocol, ProtocolPart, resize
from dupl.engine.evaluation.selection import MapSelection
from dupl.engine.memory import require
from dupl.errors import UserError
from dupl.method.base import Method, StudentPrediction
from dupl.method.cam import Present, label_by_threshold
from dupl.runs.tallies import ThresholdTally


class TrainTimeProtocol(Protocol):
    """The protocol during training, and of the paper's Tables 1 and 4: images squashed to a square, no CRF.

    Released code: single-scale logits, and multi-scale CAMs of the image's tags above a threshold, without refinement,
    of the classifier and of the auxiliary classifier; all resized to the mask.

    Args:
        settings: The recipe's ``evaluation``: size, cam_threshold, batch_size.
        selection: The students to evaluate.
        threshold: A threshold instead of cam_threshold.
        scales: The scales of the model's CAMs, for the title.
    """

    word = "train"
    kinds: tuple[str, ...] = ("seg", "cam", "aux_cam")
    needs_masks = False  # it classifies too

    def __init__(
        self,
        settings: Mapping[str, Any],
        selection: MapSelection,
        threshold: float | None = None,
        scales: Sequence[float] = (),
    ) -> None:
        self.size, self.batch, self.selection = settings["size"], settings["batch_size"], selection
        self.threshold = settings["cam_threshold"] if threshold is None else threshold
        most = f"evaluation.batch_size=1 (now {self.batch})"
        self.smaller = most if self.batch > 1 else f"a smaller evaluation.size (now {self.size})"
        if not 0 <= self.threshold <= 1:
            raise UserError(f"the threshold on CAMs is {self.threshold:g}; give a number from 0 to 1")
        self.name = f"{self.word}-{self.size}-t{self.threshold:g}{selection.suffix}"
        facts = {"size": self.size, "cam_threshold": self.threshold}
        at = f"of scale{'s' * (len(scales) > 1)} {', '.join(f'{s:g}' for s in scales)} " if scales else ""
        cams = f"CAM {at}of the image's tags above {self.threshold:g}"
        logits = "Seg of one scale, " if "seg" in self.kinds else ""
        self.parts = {self.name: ProtocolPart(f"squashed to {self.size} px, no CRF; {logits}{cams}", facts)}

    def batches(
        self, model: Method, source: ImageSet, indices: Sequence[int], workers: int
    ) -> Iterator[tuple[dict[str, Any], Sequence[StudentPrediction]]]:
        """Yield batches of squashed images, and what each student predicts for them."""
        loader = DataLoader(
            Subset(EvalView(source, self.size), indices),
            batch_size=self.batch,
            num_workers=workers,
            worker_init_fn=build.worker_apart,
            collate_fn=_collate,
        )
        device = next(model.parameters()).device
        for batch in loader:
            yield batch, model.predict(batch["image"].to(device), Present.of(batch["tags"]).to(device))

    def stream(self, model: Method, source: ImageSet, indices: Sequence[int], workers: int) -> Iterator[LabelledImage]:
        """Label images in batches."""
        for batch, answer in self.batches(model, source, indices, workers):
            scores = torch.stack([s.cpu() for s, _, _ in answer], 1)  # (B, students, K)
            for row, (index, mask) in enumerate(zip(batch["index"], batch["mask"], strict=True)):
                found = LabelledImage(index, None, {}, batch["tags"][row], scores[row])
                if mask is not None:
                    if answer[0][1].device.type == "cpu":  # a GPU reports this by itself
                        held, what = 3 * len(answer) + 1, f"mask of image {source.names[index]}"
                        require(held, len(source.classes), mask.shape, what, "smaller photos and masks")
                    found.mask = mask.numpy()
                    found.labels[self.name] = self.label(found.mask, batch["tags"][row : row + 1], answer, row)
                yield found

    def label(
        self, mask: Labels, tags: Tensor, answer: Sequence[StudentPrediction], row: int
    ) -> dict[str, NDArray[Any]]:
        """Return the label maps of one image of a batch, at the size of its mask."""
        labels: dict[str, Tensor] = {}
        if "seg" in self.kinds:
            logits = [resize(mask.shape, p[row : row + 1]) for _, p, _ in answer]
            labels |= {f"seg/{s + 1}": logits[s].argmax(1) for s in self.selection.students}
            if self.selection.mean:
                labels["seg/mean"] = torch.stack([p.softmax(1) for p in logits]).mean(0).argmax(1)
        present = Present.of(tags).to(answer[0][1].device)
        slots = present.index.shape[1]
        heats = self.heat(mask.shape, answer, row, slots)
        if "aux_cam" in self.kinds:
            maps = [m for _, _, m in answer if m is not None]
            heats |= {
                f"aux_cam/{s + 1}": resize(mask.shape, maps[s].aux[row : row + 1, :slots])
                for s in self.selection.students
            }
        for name, heat in heats.items():
            labels[name] = label_by_threshold(heat, present, self.threshold)
        return {name: labels[name][0].cpu().numpy() for name in sorted(labels)}

    def heat(self, size: Sequence[int], answer: Sequence[StudentPrediction], row: int, slots: int) -> dict[str, Tensor]:
        """Return the CAMs of one image of a batch, each (1, slots, H, W)."""
        every = [resize(size, m.main[row : row + 1, :slots]) for _, _, m in answer if m is not None]
        heat = {f"cam/{s + 1}": every[s] for s in self.selection.students}
        return heat | {"cam/mean": torch.stack(every).mean(0)} if self.selection.mean else heat


class CamProtocol(TrainTimeProtocol):
    """Only the CAMs of ``TrainTimeProtocol``, with counts for the curve over all thresholds.

    The arguments are those of ``TrainTimeProtocol``.
    """

    word = "cam"
    kinds = ("cam",)
    needs_masks = True

    def __init__(
        self,
        settings: Mapping[str, Any],
        selection: MapSelection,
        threshold: float | None = None,
        scales: Sequence[float] = (),
    ) -> None:
        super().__init__(settings, selection, threshold, scales)
        self.curves: dict[str, ThresholdTally] = {}

    def label(
        self, mask: Labels, tags: Tensor, answer: Sequence[StudentPrediction], row: int
    ) -> dict[str, NDArray[Any]]:
        """Return the label maps of one image, and count it at every threshold."""
        present = Present.of(tags).to(answer[0][1].device)
        for name, heat in self.heat(mask.shape, answer, row, present.index.shape[1]).items():
            value, slot = heat.max(1)
            curve = self.curves.setdefault(name, ThresholdTally(tags.shape[1] + 1))
            curve.add(mask, present.label(slot)[0].cpu().numpy(), value[0].cpu().numpy())
        return super().label(mask, tags, answer, row)


def _collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Collate evaluation samples; masks stay a list, because each has its own size."""
    return {
        "image": torch.stack([s["image"] for s in samples]),
        "tags": torch.stack([s["tags"] for s in samples]),
        **{key: [s[key] for s in samples] for key in ("mask", "name", "index")},
    }
