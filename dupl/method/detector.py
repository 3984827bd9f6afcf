"""Detector of misled students: does the CAM of a class cover what the student recognises the class by?

It reads image-level tags alone: the class is scored on the image with only its CAM kept, and with only the complement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from dupl.config.kinds import Count, In, Share, Start
from dupl.method.cam import Maps, Present
from dupl.method.component import Component
from dupl.method.network import SubNet
from dupl.method.students import Students
from dupl.method.view import View
from dupl.registry import COMPONENTS
from dupl.structures import Clock


@COMPONENTS.register_module()
class NoDetector(Component):
    """Detector switched off: nothing is measured."""

    null = True

    def __call__(
        self, students: Students, views: Sequence[View], cams: Sequence[Maps] | None, present: Present, clock: Clock
    ) -> None:
        """Do nothing."""


@COMPONENTS.register_module()
class MaskingDetector(Component, nn.Module):
    """Running mean, for each student and class, of how much better its CAM explains the class than the complement does.

    The value of an image is sigmoid(s_kept - s_complement), where s is the score of the class: above 0.5 the kept CAM
    explains it better. Pixels that are not kept get the mean colour of ImageNet.

    Args:
        interval: Iterations between two measurements.
        region: Share of the image that is kept: the pixels of the highest CAM. All CAMs keep equal areas, because a
            larger one shows more of the object, wherever it lies.
        memory: Largest share that the running mean keeps when a class is measured again.
        least: Number of measurements of a class before its mean counts.
        misled: A student whose mean is below this is misled on the class.
        judge: Whose classifier scores: that of the "other" students, the student's "own", or the mean of "all".
        start: First iteration at which it measures.

    Raises:
        ValueError: ``judge`` is none of its values, or ``region`` lies outside its range.
    """

    mean: Tensor
    count: Tensor
    seen: Tensor

    def __init__(
        self,
        interval: Count = 5,
        region: Annotated[float, In("(0, 1)")] = 0.4,
        memory: Share = 0.95,
        least: Count = 5,
        misled: Share = 0.5,
        judge: Literal["own", "other", "all"] = "other",
        start: Start = 0,
    ) -> None:
        nn.Module.__init__(self)
        Component.__init__(self, start)
        if judge not in ("own", "other", "all"):
            raise ValueError(f'detector.judge is {judge!r}: choose "own", "other" or "all"')
        if not 0 < region < 1:
            raise ValueError(f"detector.region is {region}: give a share of the image in (0, 1)")
        self.interval, self.region, self.memory, self.least = interval, region, memory, least
        self.misled, self.judge = misled, judge

    def bind(self, students: Students) -> None:
        """Make room for each student and class."""
        shape = (len(students), students[0].classifier.out_features)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("count", torch.zeros(shape))  # measurements so far
        self.register_buffer("seen", torch.zeros(2, *shape), persistent=False)  # sums and numbers of this step
        self.measured = False

    @torch.no_grad()
    def forward(
        self, students: Students, views: Sequence[View], cams: Sequence[Maps] | None, present: Present, clock: Clock
    ) -> None:
        """Measure the images of a batch, if it is time to.

        Args:
            students: The students.
            views: The view of each.
            cams: CAMs of each, None before there are any.
            present: The classes of the images.
            clock: t and T.
        """
        if cams is None or not self.active(clock) or clock.t % self.interval:
            return
        self.measured = True
        image, slot = present.valid.nonzero(as_tuple=True)
        if not len(image):  # no image has a tag
            return
        classes = present.index[image, slot]
        for student, (view, maps) in enumerate(zip(views, cams, strict=True)):
            cam = maps.main[image, slot]  # (N, H, W)
            kept = (cam > cam.flatten(1).quantile(1 - self.region, dim=1)[:, None, None])[:, None]
            photos = view.images[image]
            halves = torch.cat([photos * kept, photos * ~kept])  # 0 is the mean colour
            judged = self._scores(self._judges(students, student), halves, classes.repeat(2))
            value = (judged[: len(image)] - judged[len(image) :]).sigmoid()
            self.seen[0, student].index_add_(0, classes, value)
            self.seen[1, student].index_add_(0, classes, torch.ones_like(value))

    def _judges(self, students: Students, student: int) -> list[SubNet]:
        """Return the networks that score the CAMs of a student."""
        own, others = students[student], [net for i, net in enumerate(students) if i != student]
        return {"own": [own], "other": others or [own], "all": [own, *others]}[self.judge]

    @staticmethod
    def _scores(nets: Sequence[SubNet], images: Tensor, classes: Tensor) -> Tensor:
        """Return the mean score, over networks, of one class for each image, float32 (N,)."""
        scores = [net.score(net.classifier, net.read(net.backbone(images).features)).float() for net in nets]
        return torch.stack(scores).mean(0).gather(1, classes[:, None])[:, 0]

    def after_step(self) -> None:
        """Take the measurements of this step, of all processes, into the running means."""
        if not self.measured:
            return
        self.measured = False
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(self.seen)
        value, there = self.seen[0] / self.seen[1].clamp(min=1), self.seen[1] > 0
        self.count += there
        keep = (1 - 1 / self.count.clamp(min=1)).clamp(max=self.memory)
        self.mean.copy_(torch.where(there, keep * self.mean + (1 - keep) * value, self.mean))
        self.seen.zero_()

    def known(self) -> Tensor:
        """Return where the mean counts, bool (S, K)."""
        return self.count >= self.least

    def misled_on(self) -> Tensor:
        """Return on which classes each student is misled, bool (S, K)."""
        return self.known() & (self.mean < self.misled)
