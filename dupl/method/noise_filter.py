"""[ANF] Adaptive noise filter: finds the pseudo-labels that are noise from the losses they cause (Eq. 6-7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.config.kinds import Count, In, NotNegative, Start
from dupl.method import equations
from dupl.method.component import Component
from dupl.method.kmeans import INITS
from dupl.method.mixture import Mixture, fit_mixture
from dupl.registry import COMPONENTS
from dupl.structures import IGNORE, Clock


@COMPONENTS.register_module()
class MixtureFilter(Component):
    """Eq. 6-7: labels whose loss belongs to the noisy one of two Gaussians, in images where the two are apart.

    Args:
        gamma: Posterior of noise above which a pixel is noisy, in (0, 1). Released code: 0.95.
        eta: Least distance of the two means, in units of loss.
        start: First iteration at which it acts.
        fit_on: "all" fits to every labelled pixel and may filter any (paper); "foreground" fits to foreground pixels
            of a loss above ``min_loss`` and never filters background (released code).
        min_loss: With "foreground": losses to fit lie above it.
        min_pixels: An image is filtered if it has more pixels to fit than this. Released code: 1000, for crops of
            448 px.
        bins: Bins of the histogram of losses that the mixture is fitted to. None: no histogram, the mixture is fitted
            to the losses themselves (released code).
        max_iter: Largest number of EM steps.
        tol: Change of the mean log-likelihood below which EM stops.
        reg_covar: Added to each variance.
        init: How the k-means that EM starts from draws its first centre: as scikit-learn up to version 1.2 does
            ("sklearn-1.0"; the released code pins 1.0.2), or as from version 1.3 on ("sklearn-1.3").

    Attributes:
        watch: If set, called with the losses of each batch (B, N), which of them were fitted (B, N), and the mixture.

    Raises:
        ValueError: ``gamma``, ``eta``, ``fit_on`` or ``init`` lies outside its range.
    """

    watch: Callable[[Tensor, Tensor, Mixture], None] | None = None

    def __init__(
        self,
        gamma: Annotated[float, In("(0, 1)")] = 0.9,
        eta: NotNegative = 1.0,
        start: Start = 8000,
        fit_on: Literal["all", "foreground"] = "all",
        min_loss: float = 0.1,
        min_pixels: Annotated[int, In("[0, inf)", "px")] = 1000,
        bins: Annotated[int, In("[2, inf)")] | None = 8192,
        max_iter: Count = 10,
        tol: NotNegative = 1e-2,
        reg_covar: NotNegative = 5e-4,
        init: Literal["sklearn-1.0", "sklearn-1.3"] = "sklearn-1.3",
    ) -> None:
        super().__init__(start)
        if not 0 < gamma < 1:
            raise ValueError(f"noise_filter.gamma is {gamma}: a threshold on a probability lies between 0 and 1")
        if eta < 0:
            raise ValueError(f"noise_filter.eta is {eta}: a distance is at least 0")
        if fit_on not in ("all", "foreground"):
            raise ValueError(f'noise_filter.fit_on is {fit_on!r}: choose "all" or "foreground"')
        if init not in INITS:
            raise ValueError(f"noise_filter.init is {init!r}: choose {' or '.join(map(repr, INITS))}")
        self.gamma, self.eta, self.fit_on, self.min_loss = gamma, eta, fit_on, min_loss
        self.em: dict[str, Any] = dict(
            min_pixels=min_pixels, bins=bins, max_iter=max_iter, tol=tol, reg_covar=reg_covar, init=init
        )

    @torch.no_grad()
    def __call__(self, log_P: Tensor, Y: Tensor, clock: Clock) -> Tensor:
        """Return which labels of a student are noise.

        Args:
            log_P: The student's log-probabilities, (B, K + 1, H, W).
            Y: The student's **own** pseudo-label, int64 (B, H, W), 255 = none.
            clock: t and T; nothing is noise before ``start``.

        Returns:
            Bool (B, H, W), True only where Y has a label.
        """
        if not self.active(clock):
            return torch.zeros_like(Y, dtype=torch.bool)
        losses = F.nll_loss(log_P, Y, ignore_index=IGNORE, reduction="none").flatten(1)
        return self.noisy(losses, Y.flatten(1)).view_as(Y)

    def noisy(self, losses: Tensor, labels: Tensor) -> Tensor:
        """Return which labels (B, N) with losses (B, N) are noise by Eq. 7, bool (B, N)."""
        labelled = labels != IGNORE
        if self.fit_on == "foreground":
            labelled = labelled & (labels != 0)
        chosen = labelled & (losses > self.min_loss) if self.fit_on == "foreground" else labelled
        mixture = fit_mixture(losses, chosen, **self.em)
        if self.watch is not None:
            self.watch(losses, chosen, mixture)
        log_odds = equations.noise_log_odds(losses.double(), mixture.weight, mixture.mean, mixture.variance)
        noisy = equations.noisy_pixels(log_odds, mixture.mean, self.gamma, self.eta)
        return noisy & labelled & mixture.fitted[:, None]


@COMPONENTS.register_module()
class TrustAll(Component):
    """ANF switched off: no label is noise."""

    null = True

    def __call__(self, log_P: Tensor, Y: Tensor, clock: Clock) -> Tensor:
        """Return False for every pixel, bool (B, H, W)."""
        return torch.zeros_like(Y, dtype=torch.bool)
