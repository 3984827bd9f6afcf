"""Warm start of the classifiers: they are fitted to features of the frozen backbone before training begins."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dupl.config.kinds import Count, NotNegative, Positive
from dupl.errors import UserError
from dupl.method.component import Component
from dupl.method.students import Students
from dupl.registry import COMPONENTS

Score = Callable[[nn.Linear, Tensor], Tensor]


class Features(NamedTuple):
    """What the classifiers of each student read of N images.

    Attributes:
        seen: For each student, what its classifier and its auxiliary classifier read: pooled features, (N, D) each;
            where scores are pooled, all patch tokens in float16, (N, D, h, w) each.
        tags: (N, K) of 0/1.
    """

    seen: list[tuple[Tensor, Tensor]]
    tags: Tensor


@COMPONENTS.register_module()
class NoWarmStart(Component):
    """Warm start switched off: the classifiers begin with random weights."""

    null = True


@COMPONENTS.register_module()
class ClassifierWarmStart(Component):
    """Fit both classifiers of every student to cached features, before the first iteration of training.

    The backbone runs once over whole images, without gradients; students whose backbones are equal share its features.
    Each student draws its own batches. Training then starts from classifiers whose CAMs already lie on the classes.

    Args:
        images: Number of training images, evenly spread; all where there are fewer.
        steps: Steps of AdamW.
        batch: Images of a step.
        lr: Learning rate of these steps.
        weight_decay: Weight decay of these steps.
        initial: Factor on the random weights that the classifiers begin with. Where scores are pooled over the highest
            patches, weights near 0 let the features choose the patches; with 1 each random draw finds others, and seeds
            and students begin far apart.
        schedule: "constant": ``lr`` stays; "cosine": it falls to zero.
        restarts: Fits of each classifier, each with its own random weights and batches. Each class keeps the weights
            with its lowest loss over all images. Pooled over the highest patches, a fit may tell a class by its
            surroundings (sheep by pasture); its loss is then higher.

    Raises:
        UserError: ``schedule`` has no such value.
    """

    needs_aux = True

    def __init__(
        self,
        images: Count = 2000,
        steps: Count = 400,
        batch: Count = 64,
        lr: Positive = 1e-2,
        weight_decay: NotNegative = 1e-2,
        initial: Positive = 1.0,
        schedule: Literal["constant", "cosine"] = "constant",
        restarts: Count = 1,
    ) -> None:
        super().__init__()
        if schedule not in ("constant", "cosine"):
            raise UserError(f'model.warm_start.schedule is {schedule!r}: choose "constant" or "cosine"')
        self.images, self.steps, self.batch, self.lr, self.weight_decay = images, steps, batch, lr, weight_decay
        self.initial, self.cosine, self.restarts = initial, schedule == "cosine", restarts

    @staticmethod
    @torch.no_grad()
    def read(students: Students, batches: Iterable[tuple[Tensor, Tensor]]) -> Features:
        """Compute the features of all images once, in eval mode.

        Args:
            students: The students.
            batches: Normalised images (B, 3, H, W) with tags (B, K) of 0/1, on the device of the students.
        """
        nets = list(students)
        alike = all(equal(nets[0].backbone, net.backbone) for net in nets)
        readers = nets[:1] if alike and all(net.reading == nets[0].reading for net in nets) else nets
        training = [net.training for net in nets]
        seen: list[list[tuple[Tensor, Tensor]]] = [[] for _ in readers]
        tags = []
        for images, own in batches:
            tags.append(own)
            first = nets[0].eval().backbone(images)
            for net, parts in zip(readers, seen, strict=True):
                tokens = first if alike or net is nets[0] else net.eval().backbone(images)
                parts.append((_kept(net.read(tokens.features)), _kept(net.read(tokens.aux_features))))
        for net, mode in zip(nets, training, strict=True):
            net.train(mode)
        both = [(joined(main for main, _ in parts), joined(aux for _, aux in parts)) for parts in seen]
        return Features(both if len(both) == len(students) else both * len(students), joined(tags))

    def fit(self, students: Students, features: Features, seed: int) -> None:
        """Fit the classifiers in place.

        Args:
            students: The students.
            features: What ``read`` returned.
            seed: Seed of the drawn batches.
        """
        for student, (net, seen) in enumerate(zip(students, features.seen, strict=True)):
            generator = torch.Generator().manual_seed(hash((seed, 4, student)) & (2**63 - 1))
            classifiers = (net.classifier, net.aux_classifier)
            self.fit_classifiers(net.score, classifiers, seen, features.tags, generator)

    def fit_classifiers(
        self,
        score: Score,
        classifiers: Sequence[nn.Linear],
        seen: Sequence[Tensor],
        tags: Tensor,
        generator: torch.Generator,
    ) -> None:
        """Fit classifiers together, from the weights that they have; of several fits each class keeps its best.

        Args:
            score: Computes the scores (B, K) of a classifier from what it reads of B images.
            classifiers: Their weights change in place.
            seen: What each of them reads of all images.
            tags: (N, K) of 0/1.
            generator: Draws batches, and the random weights of further fits.

        Raises:
            UserError: A fit diverged.
        """
        best = [(c.weight.detach().clone(), torch.full_like(c.weight[:, 0], torch.inf)) for c in classifiers]
        for attempt in range(self.restarts):
            for classifier in classifiers:
                if attempt:
                    draw_weights(classifier, generator)
                classifier.weight.data.mul_(self.initial)
            self._fit_once(score, classifiers, seen, tags, generator)
            if self.restarts > 1:
                for classifier, x, (weight, lowest) in zip(classifiers, seen, best, strict=True):
                    losses = self._losses(score, classifier, x, tags)
                    better = losses < lowest
                    weight[better], lowest[better] = classifier.weight.detach()[better], losses[better]
        if self.restarts > 1:
            for classifier, (weight, _) in zip(classifiers, best, strict=True):
                classifier.weight.data.copy_(weight)

    def _fit_once(
        self,
        score: Score,
        classifiers: Sequence[nn.Linear],
        seen: Sequence[Tensor],
        tags: Tensor,
        generator: torch.Generator,
    ) -> None:
        """Fit classifiers once."""
        optimizer = torch.optim.AdamW([c.weight for c in classifiers], lr=self.lr, weight_decay=self.weight_decay)
        for step in range(self.steps):
            if self.cosine:
                optimizer.param_groups[0]["lr"] = self.lr * (1 + math.cos(math.pi * step / self.steps)) / 2
            chosen = torch.randint(len(tags), (self.batch,), generator=generator).to(tags.device)
            scores = [score(c, x[chosen].float()) for x, c in zip(seen, classifiers, strict=True)]
            loss = torch.stack([F.multilabel_soft_margin_loss(s, tags[chosen]) for s in scores]).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        optimizer.zero_grad()
        if not all(bool(c.weight.isfinite().all()) for c in classifiers):
            raise UserError(
                f"a classifier that is fitted before training diverged: its weights are not finite at lr {self.lr}; "
                "lower lr of model.warm_start, or of model.detector where that one fits a probe"
            )

    @staticmethod
    @torch.no_grad()
    def _losses(score: Score, classifier: nn.Linear, seen: Tensor, tags: Tensor) -> Tensor:
        """Return the loss of each class over all images, (K,)."""
        parts = zip(seen.split(256), tags.split(256), strict=True)
        losses = [
            F.binary_cross_entropy_with_logits(score(classifier, x.float()), y, reduction="none") for x, y in parts
        ]
        return torch.cat(losses).mean(0)


def _kept(read: Tensor) -> Tensor:
    """Return pooled features in float32; patch tokens in float16, because they are many."""
    return read.float() if read.ndim == 2 else read.half()


def draw_weights(classifier: nn.Linear, generator: torch.Generator) -> None:
    """Give a classifier random weights by the initialisation of a 1x1 convolution, drawn on the CPU."""
    drawn = torch.empty_like(classifier.weight, device="cpu")
    classifier.weight.data.copy_(nn.init.kaiming_uniform_(drawn, a=5**0.5, generator=generator))


def joined(parts: Iterable[Tensor]) -> Tensor:
    """Concatenate tensors; outside autocast, which refuses float16 where it computes in bfloat16."""
    found = list(parts)
    with torch.autocast(found[0].device.type, enabled=False):
        return torch.cat(found)


def equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Return whether two backbones have the same weights and give the features of the same blocks."""
    if getattr(one, "blocks_read", None) != getattr(other, "blocks_read", None):
        return False
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(value, theirs[key]) for key, value in mine.items())
