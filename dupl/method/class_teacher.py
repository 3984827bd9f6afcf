"""Which CAMs the labels are made of: those of each student, of the better one of each class, or of all students."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from dupl.config.kinds import Share, Start
from dupl.method.cam import Maps, Present
from dupl.method.component import Component
from dupl.method.detector import Detector, NoDetector
from dupl.registry import COMPONENTS
from dupl.structures import Clock


@COMPONENTS.register_module()
class EachItsOwn(Component):
    """Teacher per class switched off: the labels of each student are made of its own CAMs."""

    null = True

    def __call__(self, cams: list[Maps], present: Present, detector: NoDetector | Detector, clock: Clock) -> list[Maps]:
        """Return the CAMs."""
        return cams


@COMPONENTS.register_module()
class BestPerClass(Component):
    """The labels of both students come, class by class, from the student whose CAM explains the class better.

    The detector's running means decide, so that the classes of one image may have different teachers. A class that the
    detector does not know well enough keeps the CAM of each student.

    Args:
        margin: Least difference of the means; below it the CAM of each student is kept.
        start: First iteration at which it acts.
    """

    needs_detector = True

    def __init__(self, margin: Share = 0.05, start: Start = 0) -> None:
        super().__init__(start)
        self.margin = margin

    def __call__(self, cams: list[Maps], present: Present, detector: Detector, clock: Clock) -> list[Maps]:
        """Return the CAMs that the labels of each student are made of.

        Args:
            cams: CAMs of each student.
            present: The classes of the images.
            detector: Its means decide.
            clock: t and T.
        """
        if not self.active(clock):
            return cams
        order = detector.mean.sort(0, descending=True)
        apart = order.values[0] - order.values[1] >= self.margin
        decided = (detector.known().all(0) & apart)[present.index]  # (B, M)
        best = order.indices[0][present.index]
        main, aux = torch.stack([maps.main for maps in cams]), torch.stack([maps.aux for maps in cams])
        return [
            replace(own, main=self._pick(main, best, decided, own.main), aux=self._pick(aux, best, decided, own.aux))
            for own in cams
        ]

    @staticmethod
    def _pick(maps: Tensor, best: Tensor, decided: Tensor, own: Tensor) -> Tensor:
        """Return for each image and slot the map of the best of S students (S, B, M, H, W); the own if undecided."""
        chosen = maps.gather(0, best[None, ..., None, None].expand(1, *own.shape))[0]
        return torch.where(decided[..., None, None], chosen, own)


@COMPONENTS.register_module()
class MeanOfStudents(Component):
    """The labels of all students come from the average of their CAMs.

    The average of two students is often better than each of them, because they err in different places. The students
    then learn from equal labels, and differ by their weights alone.

    Args:
        start: First iteration at which it acts.
    """

    def __call__(self, cams: list[Maps], present: Present, detector: NoDetector | Detector, clock: Clock) -> list[Maps]:
        """Return the average of the CAMs, once for each student.

        Args:
            cams: CAMs of each student.
            present: The classes of the images.
            detector: Not read.
            clock: t and T.
        """
        if not self.active(clock):
            return cams
        main, aux = (torch.stack(maps).mean(0) for maps in ([c.main for c in cams], [c.aux for c in cams]))
        return [replace(own, main=main, aux=aux) for own in cams]
