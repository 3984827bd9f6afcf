"""The losses that the noise filter judged on one image, with the mixture it fitted (Eq. 6-7), as in Fig. 4."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dupl.report.figures.colours import CLEAN_GAUSSIAN, KEPT, NOISE, NOISY_GAUSSIAN
from dupl.report.figures.figure_sheet import Picture
from dupl.report.figures.matplotlib_theme import blank_figure
from dupl.report.figures.plotly_theme import blank_chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from plotly.graph_objects import Figure

Floats = NDArray[np.float64]
ROWS = 4  # images that one picture holds
FINE = 160  # points of a density
GAUSSIANS = {"clean": CLEAN_GAUSSIAN, "noise": NOISY_GAUSSIAN}


@dataclass(frozen=True, eq=False)
class MixtureInfo:
    """A histogram of losses under the fitted mixture.

    Attributes:
        centres: Middle of each bin, (B,).
        counts: Pixels in each bin, (B,).
        width: Of a bin.
        noise: Whether the bin counts as noise, (B,).
        at: Losses at which the Gaussians are drawn, (N,); empty where none were fitted.
        gaussians: The clean and the noisy Gaussian, in pixels per bin, (2, N).
        verdict: In words, what the filter did with the image.
    """

    centres: Floats
    counts: NDArray[np.int64]
    width: float
    noise: NDArray[np.bool_]
    at: Floats
    gaussians: Floats
    verdict: str


def mixture_info(losses: Mapping[str, Any]) -> MixtureInfo:
    """Return the histogram of an image's losses, which bins are noise, and the fitted Gaussians.

    Args:
        losses: An entry of a gallery's ``losses``: low, high, counts, weight, mean, variance, fitted, gamma, eta,
            filtered.
    """
    counts = np.asarray(losses["counts"], np.int64)
    width = (losses["high"] - losses["low"]) / max(len(counts), 1)
    centres = losses["low"] + width * (np.arange(len(counts)) + 0.5)
    at = np.linspace(losses["low"], losses["high"], FINE) if losses["fitted"] and len(counts) else np.empty(0)
    gaussians = densities(losses, at) * counts.sum() * width
    return MixtureInfo(centres, counts, width, is_noise(losses, centres), at, gaussians, verdict(losses))


def verdict(losses: Mapping[str, Any]) -> str:
    """Return in words what the filter did with an image; ``losses`` as `mixture_info` takes them."""
    gap = losses["mean"][1] - losses["mean"][0]
    if not losses["fitted"]:
        return "too few losses to fit"
    if gap <= losses["eta"]:
        return f"means {gap:.2f} apart, not more than {losses['eta']:g}: all kept"
    return f"means {gap:.2f} apart: {losses['filtered']:.1f}% of the image filtered"


def densities(losses: Mapping[str, Any], at: Floats) -> Floats:
    """Return the two weighted Gaussians of Eq. 6 at some losses, clean first, (2, N)."""
    weight, mean, variance = (np.array(losses[name])[:, None] for name in ("weight", "mean", "variance"))
    found: Floats = weight * np.exp(-0.5 * (at - mean) ** 2 / variance) / np.sqrt(2 * np.pi * variance)
    return found


def is_noise(losses: Mapping[str, Any], at: Floats) -> NDArray[np.bool_]:
    """Return where a loss counts as noise (Eq. 7), (N,): its posterior exceeds gamma, and the means are eta apart."""
    if not losses["fitted"] or losses["mean"][1] - losses["mean"][0] <= losses["eta"]:
        return np.zeros(len(at), bool)
    clean, noise = densities(losses, at)
    over: NDArray[np.bool_] = noise > losses["gamma"] * (clean + noise)
    return over


def mixture_chart(losses: Mapping[str, Any]) -> Figure:
    """Return the histogram of an image's losses, kept and filtered, under the fitted mixture, as a chart."""
    info, figure = mixture_info(losses), blank_chart(230, "", barmode="stack", bargap=0.04)
    figure.update_xaxes(title={"text": "loss of a pixel", "standoff": 6}, hoverformat=".2f")
    figure.update_yaxes(title={"text": "pixels"})
    figure.update_layout(margin={"t": 8}, legend={"y": -0.32})
    if not len(info.counts):
        figure.add_annotation(text="no losses to fit", showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper")
        return figure
    for name, chosen, colour in (("kept", ~info.noise, KEPT), ("filtered as noise", info.noise, NOISE)):
        figure.add_bar(
            x=info.centres[chosen].round(5).tolist(),
            y=info.counts[chosen].tolist(),
            width=info.width,
            name=name,
            marker={"color": colour, "line": {"width": 0}},
            opacity=0.75,
        )
    for (name, colour), line, dash in zip(GAUSSIANS.items(), info.gaussians, ("solid", "dash"), strict=True):
        if len(info.at):
            x, y = info.at.round(5).tolist(), line.round(3).tolist()
            style = {"color": colour, "width": 2, "dash": dash}
            figure.add_scatter(x=x, y=y, name=f"fitted: {name}", mode="lines", line=style, hoverinfo="skip")
    return figure


def mixture_picture(losses: Sequence[tuple[str, Mapping[str, Any]]], columns: int = 2) -> Picture:
    """Return histograms of losses under their mixtures as one picture, RGB (H, W, 3).

    Args:
        losses: A title and what `mixture_info` takes, for each histogram; those beyond ``ROWS`` rows are left out.
        columns: Histograms side by side, such as one for each student.
    """
    shown = list(losses)[: ROWS * columns]
    rows = max(1, -(-len(shown) // columns))
    figure = blank_figure(4.2 * columns, 2.1 * rows, dpi=100)
    for number, (title, one) in enumerate(shown, 1):
        _draw_histogram(figure.add_subplot(rows, columns, number), title, mixture_info(one))
    figure.tight_layout()
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return np.asarray(Image.open(data).convert("RGB"))


def _draw_histogram(axes: Axes, title: str, info: MixtureInfo) -> None:
    """Draw one histogram with its Gaussians."""
    axes.set_title(f"{title}: {info.verdict}", fontsize=7, loc="left", parse_math=False)
    axes.tick_params(labelsize=6)
    axes.set_xlabel("loss of a pixel", fontsize=6)
    if not len(info.counts):
        return
    axes.bar(info.centres, info.counts, info.width, color=np.where(info.noise, NOISE, KEPT), alpha=0.75)
    if len(info.at):
        for (name, colour), line in zip(GAUSSIANS.items(), info.gaussians, strict=True):
            axes.plot(info.at, line, color=colour, linewidth=1.2, label=name)
        axes.legend(fontsize=6, frameon=False)
