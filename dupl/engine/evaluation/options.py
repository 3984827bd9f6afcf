"""The options of an evaluation, and the protocol that they choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dupl.config import check
from dupl.config.schema import CRF
from dupl.engine.evaluation.crf import dense_crf
from dupl.engine.evaluation.final import FinalProtocol
from dupl.engine.evaluation.protocol import Protocol
from dupl.engine.evaluation.selection import MapSelection
from dupl.engine.evaluation.train_time import CamProtocol, TrainTimeProtocol
from dupl.errors import UserError

PROTOCOLS = ("train", "final", "cam")


@dataclass(frozen=True)
class EvaluationOptions:
    """The options of an evaluation.

    Attributes:
        protocol: One of ``PROTOCOLS``.
        students: Any of "1", "2", ..., "best", "mean"; empty for all.
        refine: Whether to run the CRF; None is the default of the protocol.
        backend: Backend of the CRF; None is "torch".
        present_only: Whether the CRF chooses only among background and the image's tags.
        threshold: Threshold on CAMs; None is the recipe's.
        keep_logits: Whether to cache the students' logits, so that another CRF needs no network.
    """

    protocol: str = "train"
    students: tuple[str, ...] = ()
    refine: bool | None = None
    backend: str | None = None
    present_only: bool = False
    threshold: float | None = None
    keep_logits: bool = False

    @property
    def like_training(self) -> bool:
        """Whether the options leave the evaluation as it is during training."""
        return self.protocol == "train" and not self.students and self.threshold is None

    def build(self, settings: dict[str, Any], students: int, cam_scales: Sequence[float] = ()) -> Protocol:
        """Build the protocol, without caches of label maps.

        Args:
            settings: The recipe's ``evaluation``.
            students: Number of the model's students.
            cam_scales: Scales of the model's CAMs, for the title.

        Raises:
            UserError: A setting is wrong, or the protocol does not have an option.
        """
        if self.protocol not in PROTOCOLS:
            raise UserError(f"protocol is {self.protocol!r}; give one of {', '.join(PROTOCOLS)}")
        selection = MapSelection.of(self.students, students)
        if self.protocol != "final":
            asked = {"crf": self.refine, "crf_backend": self.backend, "present_only": self.present_only}
            for name in (name for name, given in (asked | {"keep_logits": self.keep_logits}).items() if given):
                option = f"{name} (--{name.replace('_', '-')})"
                raise UserError(f"{option} belongs to the protocol final, not to {self.protocol}")
            return {"train": TrainTimeProtocol, "cam": CamProtocol}[self.protocol](
                settings, selection, self.threshold, cam_scales
            )
        if self.threshold is not None:
            raise UserError("a threshold belongs to CAMs: use it with the protocol cam or train")
        if self.present_only and self.refine is False:
            raise UserError("present_only (--present-only) restricts the CRF: it cannot go without the CRF")
        backend, refine = self.backend or "torch", None
        if self.refine is not False:
            dense_crf.require(backend)
            refine = check.settings(CRF, settings.get("crf") or {}, "evaluation.crf")
        return FinalProtocol(settings.get("final") or {}, selection, refine, backend, self.present_only)
