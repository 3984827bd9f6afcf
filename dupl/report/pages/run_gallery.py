"""Pictures on a run's page: the same images at every evaluation, and the losses that the noise filter judged."""

from __future__ import annotations

from typing import Any

from dupl.report.figures.colours import CLEAN_GAUSSIAN, KEPT, NOISE, NOISY_GAUSSIAN
from dupl.report.figures.contact_sheet import data_uri
from dupl.report.figures.noise_mixture import mixture_chart, verdict
from dupl.report.pages.html import FILE, Site
from dupl.report.pages.run_files import RunFiles
from dupl.runs import layout

COLOURS = {
    "kept": KEPT,
    "filtered": NOISE,
    "clean Gaussian": CLEAN_GAUSSIAN,
    "noisy Gaussian (dashed)": NOISY_GAUSSIAN,
}  # the legend of all loss histograms


def gallery(run: RunFiles, data: dict[str, Any], site: Site = FILE) -> dict[str, Any]:
    """Return what the sections of pictures and losses say; pictures and charts go to ``data``.

    Returns:
        ``shots``: number of evaluations with pictures. ``still``: data URI of the run's pictures without a gallery.
        ``splits``: whose images. ``masks``: whether any image has a mask. ``losses``: whether the filter ever acted.
    """
    if not run.gallery:
        still = run.path / layout.PICTURES
        return {"shots": 0, "still": data_uri(still.read_bytes(), "png") if still.exists() else ""}
    data["gallery"] = [
        {**shot, "sheet": site.sheet(run.path, shot["iter"]) or data_uri(shot["sheet"], "webp"), "losses": []}
        for shot in run.gallery
    ]
    for number, shot in enumerate(data["gallery"]):
        _add_losses(number, shot, data["plots"])
    return {
        "shots": len(run.gallery),
        "splits": ", ".join(dict.fromkeys(str(shot.get("split")) for shot in run.gallery)),
        "masks": any(column["kind"] == "Truth" for shot in run.gallery for column in shot["columns"]),
        "losses": any(shot["losses"] for shot in data["gallery"]),
        "colours": COLOURS,
    }


def _add_losses(number: int, shot: dict[str, Any], plots: dict[str, Any]) -> None:
    """Move the losses of a shot's images to its own list, as title, verdict and key of a chart in ``plots``."""
    images = []
    for image in shot["images"]:
        for student, losses in enumerate(image.get("losses") or (), 1):
            key = f"losses-{number}-{len(shot['losses'])}"
            plots[key] = mixture_chart(losses).update_layout(showlegend=False).to_plotly_json()
            title = f"{image['name']}, student {student}"
            shot["losses"].append({"plot": key, "title": title, "verdict": verdict(losses)})
        images.append({name: value for name, value in image.items() if name != "losses"})
    shot["images"] = images
