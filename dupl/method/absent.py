"""[L_abs] Pixels without a label are of no class that the image lacks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dupl.method.boxes import inside
from dupl.method.component import Component
from dupl.method.view import View
from dupl.registry import COMPONENTS
from dupl.structures import IGNORE, Clock


@COMPONENTS.register_module()
class AbsentClasses(Component):
    """Tags supervise the pixels of a photo that have no label: each is background or one of the image's classes.

    L_seg leaves out what the thresholds do not decide and what the noise filter discards. What such a pixel is not is
    known all the same. The loss is -ln of the probability of background and the image's classes together, as for
    partial labels (Jin and Ghahramani, *Learning with Multiple Labels*, 2002).

    Args:
        start: First iteration at which it acts.
    """

    def __call__(
        self,
        views: Sequence[View],
        log_P: Sequence[Tensor] | None,
        targets: Sequence[Tensor] | None,
        tags: Tensor,
        clock: Clock,
    ) -> Tensor | None:
        """Compute L_abs, a scalar: the sum over students; None, as without this term, before it starts.

        Args:
            views: The view of each student.
            log_P: Log-probabilities of each student, (B, K + 1, H, W); None before training makes them.
            targets: Labels that each student learns from, int64 (B, H, W), 255 = none.
            tags: Image-level labels, (B, K) of 0/1.
            clock: t and T.
        """
        if log_P is None or targets is None or not self.active(clock):
            return None
        terms = [
            without_absent(p, tags, (y == IGNORE) & inside(view.boxes, y.shape[1:]))
            for view, p, y in zip(views, log_P, targets, strict=True)
        ]
        return sum(terms[1:], start=terms[0])


def without_absent(log_P: Tensor, tags: Tensor, where: Tensor) -> Tensor:
    """Return -ln of the probability of background and the image's classes, averaged over the pixels ``where``.

    Args:
        log_P: (B, K + 1, H, W), background first.
        tags: (B, K) of 0/1.
        where: bool (B, H, W); without any pixel the loss is 0.
    """
    absent = torch.cat([torch.zeros_like(tags[:, :1]), 1 - tags], 1) > 0
    allowed = log_P.masked_fill(absent[..., None, None], -torch.inf).logsumexp(1)
    return -(allowed * where).sum() / where.sum().clamp(min=1)


@COMPONENTS.register_module()
class NoAbsentClasses(Component):
    """L_abs switched off: there is no such term."""

    null = True

    def __call__(self, *_: object) -> None:
        """Return None: there is no term."""
