"""Pictures on a run's page: the same images at every evaluation, and the losses that the noise filter judged."""

from __future__ import annotations

from typing import Any

from dupl.report.figures.contact_sheet import data_uri
from dupl.report.figures.noise_losses import HUE, mixture_chart, verdict
from dupl.report.figures.plots import KEPT, NOISE
from dupl.report.pages.frame import Section, note, text
from dupl.report.pages.run_files import RunFiles

NONE = (
    "No gallery: the run was made with evaluation.gallery=0, or before there were galleries. With "
    "evaluation.gallery=4, each evaluation pictures four images in gallery/."
)


def pictures(run: RunFiles, data: dict[str, Any]) -> Section:
    """The section of CAMs, pseudo-labels and predictions, whose pictures go to ``data``."""
    if not run.gallery:
        return Section("gallery", "Gallery", note(NONE) + _still(run))
    data["gallery"] = [{**shot, "sheet": data_uri(shot["sheet"], "webp"), "losses": []} for shot in run.gallery]
    splits = ", ".join(dict.fromkeys(str(shot.get("split")) for shot in run.gallery))
    unmasked = "" if any(_has(shot, "Truth") for shot in run.gallery) else note(f"data.{splits} has no masks to show.")
    play = '<button id="play" type="button" title="play">▶</button>'
    body = (
        f'<p class="about">Images of data.{text(splits)}, as a training step of that iteration sees them.</p>{unmasked}'
        f'<div class="controls stuck"><label>iteration {_slider(run)}</label>{play}</div>'
        '<div id="gallery-images"></div><ul class="legend" id="gallery-legend"></ul>'
    )
    return Section("gallery", "Gallery", body)


def losses(run: RunFiles, data: dict[str, Any]) -> Section:
    """The section of loss histograms with their mixtures, whose charts go to ``data``."""
    title = "Noise filter"
    if not run.gallery:
        words = "No losses of the noise filter: they are kept beside the gallery, which this run has not."
        return Section("noise", title, note(words))
    any_at_all = False
    for n, shot in enumerate(data["gallery"]):
        for image in shot["images"]:
            for student, one in enumerate(image.pop("losses", None) or (), 1):
                any_at_all = True
                key = f"losses-{n}-{len(shot['losses'])}"
                data["plots"][key] = mixture_chart(one).update_layout(showlegend=False).to_plotly_json()
                entry = {"plot": key, "title": f"{image['name']}, student {student}", "verdict": verdict(one)}
                shot["losses"].append(entry)
    if not any_at_all:
        return Section("noise", title, note("The noise filter did not act at any evaluation, or is switched off."))
    body = (
        '<p class="about">Losses of an image’s labelled pixels against its own pseudo-label, and the two Gaussians '
        "fitted to them (Eq. 6). Filtered is what belongs to the noisy one with more than gamma, where the means are "
        "more than eta apart (Eq. 7).</p>"
        f'<ul class="legend">{_keys()}</ul><div class="controls"><label>iteration {_slider(run)}</label></div>'
        f'<div id="losses-missing">{note("The noise filter does not act yet at this iteration.")}</div>'
        '<div class="grid" id="losses"></div>'
    )
    return Section("noise", title, body)


def _keys() -> str:
    """Return the legend of all loss histograms, as list items."""
    colours = {"kept": KEPT, "filtered": NOISE, "clean Gaussian": HUE["clean"], "noisy Gaussian (dashed)": HUE["noise"]}
    return "".join(f'<li><i style="background: {colour}"></i>{name}</li>' for name, colour in colours.items())


def _slider(run: RunFiles) -> str:
    last = len(run.gallery) - 1
    return f'<input data-shots type="range" min="0" max="{last}" step="1" value="{last}"><output></output>'


def _has(shot: dict[str, Any], kind: str) -> bool:
    return any(column["kind"] == kind for column in shot["columns"])


def _still(run: RunFiles) -> str:
    """Return the picture page that the end of training leaves, where there is one."""
    if not (path := run.path / "pictures.png").exists():
        return ""
    return f'<img class="still" alt="pictures.png of the finished run" src="{data_uri(path.read_bytes(), "png")}">'
