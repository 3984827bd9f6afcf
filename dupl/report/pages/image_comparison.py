"""Two runs, image by image: which images one does worse on, and both runs' pictures of them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dupl.errors import UserError
from dupl.report.figures.contact_sheet import data_uri
from dupl.report.figures.plots import blank, safe
from dupl.report.pages.frame import text
from dupl.report.run_comparison import Runs, present

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

    part = pixels[(pixels["map"] == label_map) & (pixels["TP"] + pixels["FN"] > 0)]
    iou = (100 * part["TP"] / (part["TP"] + part["FP"] + part["FN"])).rename("IoU")
    part = part[["fingerprint", "image"]].join(iou)
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
    figure = blank(460, f"{second}: IoU (%)", hovermode="closest")
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


def cut(shot: Mapping[str, Any], name: str) -> dict[str, bytes]:
    """Return the panes of one image as PNG, by what they show ("Truth", "CAM 1"); {} where the gallery lacks it.

    Args:
        shot: A gallery's description with its contact sheet, as `dupl.report.pages.run_files` reads it.
        name: Of the image.
    """
    from PIL import Image

    row = next((k for k, image in enumerate(shot["images"]) if image["name"] == name), None)
    if row is None:
        return {}
    sheet, image, cell = Image.open(io.BytesIO(shot["sheet"])), shot["images"][row], shot["cell"]
    panes = {}
    for number, (column, filled) in enumerate(zip(shot["columns"], image["filled"], strict=True)):
        if filled:
            corner = (cell * number, cell * row)
            box = (*corner, corner[0] + image["size"][0], corner[1] + image["size"][1])
            data = io.BytesIO()
            sheet.crop(box).save(data, format="PNG")
            panes[f"{column['kind']} {column['student'] or ''}".strip()] = data.getvalue()
    return panes


def side_by_side(shots: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> str:
    """Return runs' pictures of images as an HTML table: a row per image and run, image and truth once.

    What is of one kind and student stands below each other, also where a run has fewer students.

    Args:
        shots: The last entry of each run's gallery by label.
        names: Images, of which those that no gallery holds are left out.

    Raises:
        UserError: No gallery holds any of them.
    """
    found = [(name, label, cut(shot, name)) for name in names for label, shot in shots.items()]
    found = [(name, label, panes) for name, label, panes in found if panes]
    if not found:
        raise UserError("the galleries hold none of these images: train with a larger evaluation.gallery")
    columns = sorted({what for *_, panes in found for what in panes}, key=_place)
    rows, known = [], set()
    for name, label, panes in found:
        cells = [
            f'<td><img alt="{text(what)}" width="100" src="{data_uri(panes[what], "png")}"></td>'
            if what in panes and (name not in known or what.startswith(PAINTED))
            else "<td></td>"
            for what in columns
        ]
        known.add(name)
        rows.append(f"<tr><th>{text(name)}<br>{text(label)}</th>{''.join(cells)}</tr>")
    heads = "".join(f'<th style="text-align: center; white-space: nowrap">{text(what)}</th>' for what in columns)
    return f'<table style="font-size: 0.85em"><tr class="heads"><th></th>{heads}</tr>{"".join(rows)}</table>'


def _place(what: str) -> tuple[int, str]:
    """Order of what the panes of an image show: as the method goes, then by student."""
    kinds = ("Image", "Truth", *PAINTED)
    return next((k for k, kind in enumerate(kinds) if what.startswith(kind)), len(kinds)), what
