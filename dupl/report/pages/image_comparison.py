"""Compare two runs image by image: on which images one is worse, and both runs' pictures of them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dupl.errors import UserError
from dupl.report.figures.contact_sheet import data_uri
from dupl.report.figures.plotly_theme import blank_chart, safe
from dupl.report.pages.html import environment
from dupl.report.run_comparison import Runs, image_classes, present

if TYPE_CHECKING:
    from pandas import DataFrame
    from plotly.graph_objects import Figure

PAINTED = ("CAM", "Pseudo-label", "Prediction")


def image_table(pixels: DataFrame, label_map: str, runs: Runs) -> DataFrame:
    """Return IoU per image: a row per image, a column per label, and ``difference`` of the second to the first.

    The IoU of an image is the mean over the classes in its mask; of several runs of a label it is their mean. The
    images on which the second is worst against the first stand on top.

    Args:
        pixels: TP, FP and FN per image and class, as a store's ``per_image``; one evaluation of each run.
        label_map: Such as "seg/1".
        runs: Two labels.
    """
    import pandas as pd

    part = image_classes(pixels, label_map)
    columns = {}
    for label, wanted in present(part, runs, f"{label_map} per image").items():
        columns[label] = part[part["fingerprint"].isin(wanted)].groupby("image")["IoU"].mean()
    if len(columns) != 2:
        raise UserError(f"{len(columns)} labels to compare: give two")
    table = pd.DataFrame(columns)
    first, second = table.columns
    table["difference"] = table[second] - table[first]
    return table.sort_values("difference")


def image_chart(table: DataFrame) -> Figure:
    """Return `image_table` as dots, one run against the other, beside the diagonal."""
    first, second = table.columns[:2]
    figure = blank_chart(460, f"{second}: IoU (%)", hovermode="closest")
    figure.add_scatter(
        x=[0, 100], y=[0, 100], mode="lines", line={"color": "#8a8f98", "dash": "dash"}, hoverinfo="skip"
    )
    figure.add_scatter(
        x=table[first].tolist(),
        y=table[second].tolist(),
        text=[safe(name) for name in table.index],
        mode="markers",
        marker={"size": 8, "opacity": 0.6, "color": "#3b7dd8"},
        hovertemplate="%{text}: %{x:.1f} and %{y:.1f}<extra></extra>",
    )
    figure.update_layout(showlegend=False)
    figure.update_xaxes(title={"text": f"{safe(first)}: IoU (%)"}, range=[0, 100])
    figure.update_yaxes(range=[0, 100])
    return figure


def pictures_of(shot: Mapping[str, Any], name: str) -> dict[str, bytes]:
    """Return the pictures of one image as PNG, by kind and student ("Truth", "CAM 1"); {} where the gallery lacks it.

    Args:
        shot: An entry of a gallery with its contact sheet, as `dupl.report.pages.run_files` reads it.
        name: Of the image.
    """
    from PIL import Image

    row = next((k for k, image in enumerate(shot["images"]) if image["name"] == name), None)
    if row is None:
        return {}
    sheet, image, cell = Image.open(io.BytesIO(shot["sheet"])), shot["images"][row], shot["cell"]
    pictures = {}
    for number, (column, filled) in enumerate(zip(shot["columns"], image["filled"], strict=True)):
        if filled:
            corner = (cell * number, cell * row)
            box = (*corner, corner[0] + image["size"][0], corner[1] + image["size"][1])
            data = io.BytesIO()
            sheet.crop(box).save(data, format="PNG")
            pictures[f"{column['kind']} {column['student'] or ''}".strip()] = data.getvalue()
    return pictures


def side_by_side(shots: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> str:
    """Return runs' pictures of images as an HTML table: a row per image and run, image and mask once.

    Pictures of one kind and student stand below each other, also where a run has fewer students.

    Args:
        shots: The last entry of each run's gallery by label.
        names: Images; those that no gallery holds are left out.

    Raises:
        UserError: No gallery holds any of them.
    """
    found = [(name, label, pictures_of(shot, name)) for name in names for label, shot in shots.items()]
    found = [(name, label, pictures) for name, label, pictures in found if pictures]
    if not found:
        raise UserError("the galleries hold none of these images: train with a larger evaluation.gallery")
    kinds = sorted({kind for *_, pictures in found for kind in pictures}, key=_place)
    rows, known = [], set()
    for name, label, pictures in found:
        shown = {k: data_uri(p, "png") for k, p in pictures.items() if name not in known or k.startswith(PAINTED)}
        known.add(name)
        rows.append((name, label, [(kind, shown.get(kind, "")) for kind in kinds]))
    return environment().get_template("image_comparison.html").render(kinds=kinds, rows=rows)


def _place(kind: str) -> tuple[int, str]:
    """Return the order of a kind of picture: image and mask, then the steps of the method, then by student."""
    order = ("Image", "Truth", *PAINTED)
    return next((k for k, name in enumerate(order) if kind.startswith(name)), len(order)), kind
