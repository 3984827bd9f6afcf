"""Detectors of misled students: does the CAM of a class lie where the class is?

They read image-level tags alone. `MaskingDetector` scores an image with only its CAM kept, and with only the
complement. `ProbeDetector` compares the CAM with a linear probe of the pretrained backbone.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dupl.config.kinds import Count, In, Positive, Share, Start
from dupl.method import equations
from dupl.method.cam import Maps, Present
from dupl.method.component import Component
from dupl.method.network import SubNet
from dupl.method.pooling import pooling_function
from dupl.method.students import Students
from dupl.method.view import View
from dupl.method.warm_start import ClassifierWarmStart, Features, draw_weights, joined
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


class Detector(Component, nn.Module):
    """Running mean, for each student and class, of how well its CAMs lie on the class.

    A subclass says in ``values`` how well one CAM does: from 0 to 1, above 0.5 where it lies on the class.

    Args:
        interval: Iterations between two measurements.
        memory: Largest share that the running mean keeps when a class is measured again.
        least: Number of measurements of a class before its mean counts.
        misled: A student whose mean is below this is misled on the class.
        start: First iteration at which it measures.
    """

    reason: ClassVar[str]  # what is wrong with a CAM below the limit, after "its CAM"
    mean: Tensor
    count: Tensor
    seen: Tensor

    def __init__(self, interval: int, memory: float, least: int, misled: float, start: int) -> None:
        nn.Module.__init__(self)
        Component.__init__(self, start)
        self.interval, self.memory, self.least, self.misled = interval, memory, least, misled

    def bind(self, students: Students) -> None:
        """Make room for each student and class."""
        shape = (len(students), students[0].classifier.out_features)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("count", torch.zeros(shape))  # measurements so far
        self.register_buffer("seen", torch.zeros(2, *shape), persistent=False)  # sums and numbers of this step
        self.measured = False

    @abstractmethod
    def values(self, students: Students, student: int, photos: Tensor, cam: Tensor, classes: Tensor) -> Tensor:
        """Return how well CAMs lie on their classes, (N,) in [0, 1].

        Args:
            students: The students.
            student: Index of the one whose CAMs these are.
            photos: The image of each CAM, (N, 3, H, W), normalised.
            cam: (N, H, W) in [0, 1).
            classes: Index of the class of each, (N,).
        """

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
            value = self.values(students, student, view.images[image], maps.main[image, slot], classes)
            self.seen[0, student].index_add_(0, classes, value)
            self.seen[1, student].index_add_(0, classes, torch.ones_like(value))

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


@COMPONENTS.register_module()
class MaskingDetector(Detector):
    """Running mean, for each student and class, of how much better its CAM explains the class than the complement does.

    The value of an image is sigmoid(s_kept - s_complement), where s is the score of the class: above 0.5 the kept CAM
    explains it better. Pixels that are not kept get the mean colour of ImageNet.

    Args:
        interval: Iterations between two measurements.
        region: Share of the image that is kept: the pixels of the highest CAM. CAMs keep equal areas, because a
            larger one shows more of the object, wherever it lies; one that is positive on fewer pixels keeps these.
        memory: Largest share that the running mean keeps when a class is measured again.
        least: Number of measurements of a class before its mean counts.
        misled: A student whose mean is below this is misled on the class.
        judge: Whose classifier scores: that of the "other" students (its own where there is one student), the
            student's "own", or the mean of "all".
        start: First iteration at which it measures.

    Raises:
        ValueError: ``judge`` is none of its values, or ``region`` lies outside its range.
    """

    reason = "explains the class no better than the rest of the image"

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
        super().__init__(interval, memory, least, misled, start)
        if judge not in ("own", "other", "all"):
            raise ValueError(f'detector.judge is {judge!r}: choose "own", "other" or "all"')
        if not 0 < region < 1:
            raise ValueError(f"detector.region is {region}: give a share of the image in (0, 1)")
        self.region, self.judge = region, judge

    def values(self, students: Students, student: int, photos: Tensor, cam: Tensor, classes: Tensor) -> Tensor:
        """Compare the scores of the kept region with those of its complement; see ``Detector.values``."""
        kept = (cam > cam.flatten(1).quantile(1 - self.region, dim=1)[:, None, None])[:, None]
        halves = torch.cat([photos * kept, photos * ~kept])  # 0 is the mean colour
        judged = self._scores(self._judges(students, student), halves, classes.repeat(2))
        return (judged[: len(photos)] - judged[len(photos) :]).sigmoid()

    def _judges(self, students: Students, student: int) -> list[SubNet]:
        """Return the networks that score the CAMs of a student."""
        own, others = students[student], [net for i, net in enumerate(students) if i != student]
        return {"own": [own], "other": others or [own], "all": [own, *others]}[self.judge]

    @staticmethod
    def _scores(nets: Sequence[SubNet], images: Tensor, classes: Tensor) -> Tensor:
        """Return the mean score, over networks, of one class for each image, float32 (N,)."""
        scores = [net.score(net.classifier, net.read(net.backbone(images).features)).float() for net in nets]
        return torch.stack(scores).mean(0).gather(1, classes[:, None])[:, 0]


@COMPONENTS.register_module()
class ProbeDetector(Detector):
    """Running mean, for each student and class, of how alike its CAM is to a linear probe of the pretrained backbone.

    Before training, a classifier of patches is fitted to features of the backbone as it is then, from tags alone, as
    `ClassifierWarmStart` fits those of the students. The value of an image is (1 + r) / 2, where r is the correlation,
    over patches, of the CAM with the evidence of the probe: below 0.5 the CAM lies elsewhere. Backbone and probe stay
    as they are, so that no student can mislead them; checkpoints hold both. It says nothing where the backbone has
    random weights.

    Args:
        interval: Iterations between two measurements.
        images: Number of training images that the probe is fitted to, evenly spread; all where there are fewer.
        steps: Steps of AdamW of each fit.
        batch: Images of a step.
        lr: Learning rate, which falls to zero as a cosine.
        restarts: Fits; each class keeps the one with the lowest loss.
        share: Share of the patches, those of the highest scores, whose mean is the score of a class.
        memory: Largest share that the running mean keeps when a class is measured again.
        least: Number of measurements of a class before its mean counts.
        misled: A student whose mean is below this is misled on the class.
        start: First iteration at which it measures.
    """

    reason = "lies apart from what the pretrained backbone tells the class by"

    def __init__(
        self,
        interval: Count = 5,
        images: Count = 2000,
        steps: Count = 400,
        batch: Count = 64,
        lr: Positive = 5e-3,
        restarts: Count = 4,
        share: Annotated[float, In("(0, 1]")] = 0.1,
        memory: Share = 0.95,
        least: Count = 5,
        misled: Share = 0.5,
        start: Start = 0,
    ) -> None:
        super().__init__(interval, memory, least, misled, start)
        self.images = images
        self.fitting = ClassifierWarmStart(images, steps, batch, lr, initial=0.01, schedule="cosine", restarts=restarts)
        self.pool = pooling_function("topk", share, 1.0)

    def bind(self, students: Students) -> None:
        """Make room for the means, for a copy of the first student's backbone and for the probe."""
        super().bind(students)
        classifier = students[0].classifier
        self.backbone = copy.deepcopy(students[0].backbone).requires_grad_(False)
        self.probe = nn.utils.skip_init(nn.Linear, classifier.in_features, classifier.out_features, bias=False)
        self.probe.requires_grad_(False).weight.zero_()

    @torch.no_grad()
    def read(self, students: Students, batches: Iterable[tuple[Tensor, Tensor]]) -> Features:
        """Keep the backbone of the first student as it is now, and compute the patch tokens of all images once.

        Args:
            students: The students, which have not been trained yet.
            batches: Normalised images (B, 3, H, W) with tags (B, K) of 0/1, on the device of the students.
        """
        self.backbone.load_state_dict(students[0].backbone.state_dict())
        seen = [(self.backbone.eval()(images).features.half(), tags) for images, tags in batches]
        tokens = joined(each for each, _ in seen)
        return Features([(tokens, tokens)], joined(tags for _, tags in seen))

    def fit(self, students: Students, features: Features, seed: int) -> None:
        """Fit the probe.

        Args:
            students: Not changed.
            features: What ``read`` returned.
            seed: Seed of the random weights and of the drawn batches.
        """
        generator = torch.Generator().manual_seed(hash((seed, 6)) & (2**63 - 1))
        draw_weights(self.probe, generator)
        self.probe.requires_grad_(True)
        self.fitting.fit_classifiers(self.score, (self.probe,), features.seen[0][:1], features.tags, generator)
        self.probe.requires_grad_(False)

    def score(self, probe: nn.Linear, tokens: Tensor) -> Tensor:
        """Return the scores (B, K) of patch tokens (B, D, h, w)."""
        return self.pool(F.conv2d(tokens, probe.weight[..., None, None]))

    def values(self, students: Students, student: int, photos: Tensor, cam: Tensor, classes: Tensor) -> Tensor:
        """Correlate CAMs with the evidence of the probe; see ``Detector.values``."""
        tokens = self.backbone.eval()(photos).features.float()
        with torch.autocast(tokens.device.type, enabled=False):
            every = equations.class_evidence(tokens, self.probe.weight)
        evidence = every[torch.arange(len(photos), device=photos.device), classes]  # (N, h, w)
        shown = F.adaptive_avg_pool2d(cam[None].float(), (evidence.shape[1], evidence.shape[2]))[0]
        return (1 + correlation(shown.flatten(1), evidence.flatten(1))) / 2


def correlation(one: Tensor, other: Tensor) -> Tensor:
    """Return Pearson's correlation of the rows of two tensors (N, P), (N,) in [-1, 1]; about 0 of a constant row."""
    one, other = one - one.mean(1, keepdim=True), other - other.mean(1, keepdim=True)
    return F.cosine_similarity(one, other, dim=1, eps=1e-6)
