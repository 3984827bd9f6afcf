"""The losses that the noise filter judged on one image, with the mixture it fitted (Eq. 6-7), as in Fig. 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dupl.report.figures.plots import KEPT, NOISE, blank

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HUE = {"clean": "#3b7dd8", "noise": "#e05263"}


def verdict(losses: Mapping[str, Any]) -> str:
    """Return in words what the filter made of an image.

    Args:
        losses: An entry of a gallery's ``losses``: low, high, counts, weight, mean, variance, fitted, gamma, eta,
            filtered.
    """
    gap = losses["mean"][1] - losses["mean"][0]
    if not losses["fitted"]:
        return "too few losses to fit"
    if gap <= losses["eta"]:
        return f"means {gap:.2f} apart, not over {losses['eta']:g}: all kept"
    return f"means {gap:.2f} apart: {losses['filtered']:.1f}% of the image filtered"


def acts(losses: Mapping[str, Any]) -> bool:
    """Whether the mixture is good for filtering: it was fitted, and its means are more than eta apart."""
    return bool(losses["fitted"] and losses["mean"][1] - losses["mean"][0] > losses["eta"])


def densities(losses: Mapping[str, Any], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the two weighted Gaussians of Eq. 6, clean first, (2, N)."""
    weight, mean, variance = (np.array(losses[name])[:, None] for name in ("weight", "mean", "variance"))
    found: NDArray[np.float64] = weight * np.exp(-0.5 * (at - mean) ** 2 / variance) / np.sqrt(2 * np.pi * variance)
    return found


def is_noise(losses: Mapping[str, Any], at: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where a loss counts as noise (Eq. 7): its posterior is over gamma, and the filter acts, (N,)."""
    if not acts(losses):
        return np.zeros(len(at), bool)
    clean, noise = densities(losses, at)
    over: NDArray[np.bool_] = noise > losses["gamma"] * (clean + noise)
    return over


def mixture_chart(losses: Mapping[str, Any]) -> Figure:
    """Return the histogram of an image's losses, those kept and those filtered, under the fitted mixture."""
    figure = blank(230, "", barmode="stack", bargap=0.04)
    counts: Sequence[int] = losses["counts"]
    figure.update_xaxes(title={"text": "loss of a pixel", "standoff": 6}, hoverformat=".2f")
    figure.update_yaxes(title={"text": "pixels"})
    figure.update_layout(margin={"t": 8}, legend={"y": -0.32})
    if not counts:
        figure.add_annotation(text="no losses to fit", showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper")
        return figure
    width = (losses["high"] - losses["low"]) / len(counts)
    centres = losses["low"] + width * (np.arange(len(counts)) + 0.5)
    noise = is_noise(losses, centres)
    for name, chosen, colour in (("kept", ~noise, KEPT), ("filtered as noise", noise, NOISE)):
        figure.add_bar(
            x=centres[chosen].round(5).tolist(),
            y=np.array(counts)[chosen].tolist(),
            width=width,
            name=name,
            marker={"color": colour, "line": {"width": 0}},
            opacity=0.75,
        )
    if losses["fitted"]:
        fine = np.linspace(losses["low"], losses["high"], 160)
        scaled = densities(losses, fine) * sum(counts) * width
        for name, line, dash in zip(("clean", "noise"), scaled, ("solid", "dash"), strict=True):
            style = {"color": HUE[name], "width": 2, "dash": dash}
            x, y = fine.round(5).tolist(), line.round(3).tolist()
            figure.add_scatter(x=x, y=y, name=f"fitted: {name}", mode="lines", line=style, hoverinfo="skip")
    return figure
