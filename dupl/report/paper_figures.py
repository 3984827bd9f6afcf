"""The paper's figures, and curves over training, from the runs of a store: what each needs, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.errors import UserError
from dupl.report.figures.bias_over_training import bias_over_training
from dupl.report.figures.figure_sheet import Picture
from dupl.report.figures.loss_distribution import LossRow, loss_distribution, rescale_factor
from dupl.report.figures.methods_scatter import PUBLISHED, MethodPoint, methods_scatter
from dupl.report.figures.noise_mixture import mixture_info
from dupl.report.figures.over_activation import overactivation_bars
from dupl.report.gallery_pictures import gallery_picture
from dupl.report.pages.run_files import RunFiles, read_run
from dupl.report.run_comparison import class_table, courses, logged_courses
from dupl.report.tables.evaluation import title_of
from dupl.terminal import counted

if TYPE_CHECKING:
    from pandas import DataFrame

    from dupl.runs.store import RunStore
    from dupl.runs.stored_run import StoredRun

CAM, SEG = "cam/best/mIoU", "seg/best/mIoU"  # of the better student
CAM_SOURCES = (("cam", "train"), ("train", "train"), ("train", "val"), ("cam", "val"))  # protocol and split
SEG_SOURCES = (("final", "val"), ("train", "val"))


@dataclass(frozen=True)
class FigureRequest:
    """What is asked for.

    Attributes:
        store: Holds the runs.
        groups: Finished runs by the label of their row: those of its seeds.
        planned: Number of seeds that were asked for, by label.
        out: The file: .png, .svg or .pdf.
        label_map: Which CAMs or predictions, such as "cam/1"; "" for the figure's own.
        image: Name of an image; "" chooses one.
        iteration: Of the pictures; None is the last.
        metrics: Of the curves, such as "seg/1/mIoU"; empty for the figure's own.
        compare: Draws runs by name side by side into the file, with "seg" or "cam" choosing the images; it needs the
            trained networks, and so comes from above.
    """

    store: RunStore
    groups: Mapping[str, Sequence[StoredRun]]
    planned: Mapping[str, int]
    out: Path
    label_map: str = ""
    image: str = ""
    iteration: int | None = None
    metrics: Sequence[str] = ()
    compare: Callable[[Mapping[str, StoredRun], str, str], None] | None = None

    @property
    def runs(self) -> list[StoredRun]:
        """All runs, each once."""
        return list({run.path: run for members in self.groups.values() for run in members}.values())

    def fingerprints(self) -> dict[str, list[str]]:
        """Return the runs' fingerprints by the name of their row, which tells how many seeds of those planned."""
        return {self.name(label): [run.fingerprint for run in members] for label, members in self.groups.items()}

    def name(self, label: str) -> str:
        """Return a row's label, with the number of its seeds where some are missing."""
        have, planned = len(self.groups[label]), self.planned[label]
        return label if have == planned else f"{label} ({have} of {planned} seeds)"

    def seeds(self) -> str:
        """Return the number of seeds in words."""
        counts = sorted({len(members) for members in self.groups.values()})
        return counted(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"


@dataclass(frozen=True)
class PaperFigure:
    """A figure of the paper, or curves.

    Attributes:
        about: What it shows, in a line.
        plan: The plan that is drawn where none is named; "" where a run must be named.
        rows: Rows of that plan; empty for all.
        draw: Writes the file.
    """

    about: str
    plan: str
    rows: tuple[str, ...]
    draw: Callable[[FigureRequest], None]


def _draw_scatter(request: FigureRequest) -> None:
    """Draw Fig. 1: the segmentation of each row over its CAM pseudo-labels."""
    frame = request.store.frame(request.runs)
    cam_at, seg_at = _shared_source(request, frame, CAM, CAM_SOURCES), _shared_source(request, frame, SEG, SEG_SOURCES)
    points = []
    for label, members in request.groups.items():
        prints = [run.fingerprint for run in members]
        cam, seg = _values(frame, CAM, cam_at, prints), _values(frame, SEG, seg_at, prints)
        spreads = [float(values.std()) if len(values) > 1 else 0.0 for values in (cam, seg)]
        points.append(MethodPoint(request.name(label), float(cam.mean()), float(seg.mean()), "ours", *spreads))
    same = cam_at[1] == "train" and seg_at == ("final", "val") and all(_on_voc(run) for run in request.runs)
    notes = ["Published: CAM from Table 1, segmentation from Table 2 of the paper."] if same else []
    if not same:
        notes.append(
            "The published points are left out: they are of VOC 2012, CAM on train, segmentation on val by the"
        )
        notes.append("protocol final (several scales, CRF).")
    methods_scatter(
        [*(PUBLISHED if same else ()), *points],
        request.out,
        "CAM pseudo-labels and segmentation",
        f"The better student of each, mean over {request.seeds()}",
        f"CAM: mIoU (%) on {cam_at[1]}, protocol {cam_at[0]}",
        f"Segmentation: mIoU (%) on {seg_at[1]}, protocol {seg_at[0]}",
        notes,
    )


def _draw_bias(request: FigureRequest) -> None:
    """Draw Fig. 2: CAM and over-activation over training, and the CAM of one image at several iterations."""
    frame, groups = request.store.frame(request.runs), request.fingerprints()
    label_map = request.label_map or "cam/1"
    wanted = {f"{title_of(label_map)}: mIoU (%)": f"{label_map}/mIoU"}
    wanted |= {f"{title_of(label_map)}: OA rate (%)": f"{label_map}/OA", f"{title_of('seg/best')}: mIoU (%)": SEG}
    panels = {name: courses(frame, metric, groups) for name, metric in wanted.items()}
    galleries = {request.name(label): read_run(members[0].path) for label, members in request.groups.items()}
    image, pictures = _cams_over_training(request, galleries, int(label_map.rpartition("/")[2]))
    notes = [f"Image {image}: CAM of the class that is highest at each pixel, of the first seed."] if image else []
    if not image:
        notes = ["No pictures: the runs have no gallery of a common image (train with evaluation.gallery=N)."]
    bias_over_training(
        panels,
        pictures,
        request.out,
        "CAMs over training",
        f"{_protocol(frame, 'train')}; mean over {request.seeds()}, band: lowest to highest seed",
        [*notes, "OA rate: FP / (TP + FP), the mean over the foreground classes."],
    )


def _draw_curves(request: FigureRequest) -> None:
    """Draw metrics over training, a curve per row, from what the runs logged, which every archive keeps."""
    scalars = request.store.scalars(request.runs)
    panels = {}
    for metric in request.metrics or (CAM, SEG):
        label_map, _, measure = metric.rpartition("/")
        title = f"{title_of(label_map)}: {measure} (%)" if label_map.count("/") == 1 else metric
        panels[title] = logged_courses(scalars, metric, request.fingerprints())
    bias_over_training(
        panels,
        {},
        request.out,
        "Metrics over training",
        f"{_protocol(request.store.frame(request.runs), 'train')}; mean over {request.seeds()}, "
        "band: lowest to highest seed",
    )


def _draw_losses(request: FigureRequest) -> None:
    """Draw Fig. 4: the losses of one image's pseudo-labels under the mixture that the noise filter fitted."""
    if len(request.runs) != 1:
        raise UserError(
            f"figure 4 shows one run, and {len(request.runs)} are chosen: name one run, or one row and seed"
        )
    run = read_run(request.runs[0].path)
    shot, number = _filtered_image(run, request)
    image = shot["images"][number]
    rows = []
    for student, losses in enumerate(image["losses"], 1):
        shown = {"image": ("Image", 0), "truth": ("Truth", 0), "pseudo-label": ("Pseudo-label", student)}
        found = {name: gallery_picture(shot, image["name"], *where) for name, where in shown.items()}
        pictures = {name: picture for name, picture in found.items() if picture is not None}
        rows.append(LossRow(f"student {student}", losses, pictures))
    settings = f"gamma {image['losses'][0]['gamma']:g}, eta {image['losses'][0]['eta']:g}"
    where = f"{run.path.name}, iteration {shot['iter']:,}, {shot.get('split')}"
    notes = ["Pseudo-label: striped pixels were filtered as noise, hatched pixels have no label."]
    if any(rescale_factor(mixture_info(row.losses)) != 1 for row in rows):
        notes.append(
            "÷: kept losses and their Gaussian are divided by this number, so that the filtered ones are seen."
        )
    loss_distribution(
        rows,
        request.out,
        f"Losses of the pseudo-labels of image {image['name']}",
        f"{where}; tags: {', '.join(image['tags'])}; {settings}",
        notes,
    )


def _draw_over_activation(request: FigureRequest) -> None:
    """Draw Fig. 7: the over-activation rate per class of each row."""
    groups, label_map = request.fingerprints(), request.label_map or "cam/1"
    prints = [one for members in groups.values() for one in members]
    counts = request.store.counts(request.runs, fingerprints=prints, protocol="train")
    table = class_table(counts, label_map, "OA", groups).drop("background")
    subtitle = f"{title_of(label_map)}; {_protocol(request.store.frame(request.runs), 'train')}; {request.seeds()}"
    overactivation_bars(
        {str(label): table[label].tolist() for label in table.columns},
        [str(name) for name in table.index],
        request.out,
        "Over-activation per class",
        subtitle,
    )


def _draw_cams(request: FigureRequest) -> None:
    """Draw Fig. 5: the CAMs of the rows on the same images, with their masks beside."""
    _draw_side_by_side(request, "cam", "CAMs side by side")


def _draw_masks(request: FigureRequest) -> None:
    """Draw Fig. 6: the segmentations of the rows on the same images, with their CAMs beside."""
    _draw_side_by_side(request, "seg", "Segmentations side by side")


def _draw_side_by_side(request: FigureRequest, kind: str, title: str) -> None:
    """Draw the first seed of each row on the same images."""
    assert request.compare is not None
    first = {}
    for label, members in request.groups.items():
        run = min(members, key=lambda run: run.status.seed)
        first[f"{label} (seed {run.status.seed})" if len(members) > 1 else label] = run
    request.compare(first, kind, title)


FIGURES: dict[str, PaperFigure] = {
    "1": PaperFigure(
        "segmentation over CAM pseudo-labels, a point per row, beside the published methods on VOC",
        "table3_upper_bound",
        ("dupl", "dupl_in21k"),
        _draw_scatter,
    ),
    "2": PaperFigure(
        "CAM, over-activation and segmentation over training, with the CAMs of one image",
        "fig2_confirmation_bias",
        (),
        _draw_bias,
    ),
    "4": PaperFigure("losses of one image's pseudo-labels and the mixture of the noise filter", "", (), _draw_losses),
    "5": PaperFigure("CAMs of the rows on the same images", "fig7b_overactivation", (), _draw_cams),
    "6": PaperFigure("segmentations of the rows on the same images", "fig7b_overactivation", (), _draw_masks),
    "7a": PaperFigure("over-activation rate per class of each row", "fig7a_overactivation", (), _draw_over_activation),
    "7b": PaperFigure(
        "over-activation rate per class of ToCo and DuPL", "fig7b_overactivation", (), _draw_over_activation
    ),
    "curves": PaperFigure("metrics over training, a curve per row", "table4_components", (), _draw_curves),
}


def _shared_source(
    request: FigureRequest, frame: DataFrame, metric: str, sources: Sequence[tuple[str, str]]
) -> tuple[str, str]:
    """Return the first protocol and split by which every run was evaluated with a metric.

    Raises:
        UserError: There is none; the message names the runs that lack the one which most have.
    """
    wanted = {run.fingerprint: run.path for run in request.runs}
    have: dict[tuple[str, str], set[str]] = {}
    for protocol, split in sources:
        part = frame[(frame["metric"] == metric) & (frame["protocol"] == protocol) & (frame["split"] == split)]
        have[protocol, split] = set(part[part["last"] & part["value"].notna()]["fingerprint"])
        if have[protocol, split] >= set(wanted):
            return protocol, split
    (protocol, split), known = max(have.items(), key=lambda item: len(item[1]))
    lacking = [str(path) for fingerprint, path in wanted.items() if fingerprint not in known]
    line = f"dupl eval {lacking[0]} --protocol {protocol} --split {split}"
    raise UserError(f"not every run has {metric} by one protocol and split: {', '.join(lacking)} lacks it; {line}")


def _values(frame: DataFrame, metric: str, source: tuple[str, str], fingerprints: Sequence[str]) -> Any:
    """Return the values of a metric of some runs, as a pandas Series."""
    protocol, split = source
    part = frame[frame["last"] & frame["fingerprint"].isin(fingerprints) & (frame["metric"] == metric)]
    return part[(part["protocol"] == protocol) & (part["split"] == split)]["value"]


def _protocol(frame: DataFrame, protocol: str) -> str:
    """Return split and protocol of the evaluations in words."""
    part = frame[frame["last"] & (frame["protocol"] == protocol)]
    found = zip(part["split"], part["title"], strict=True)
    return "; or ".join(dict.fromkeys(f"{split}, {title}" for split, title in found))


def _on_voc(run: StoredRun) -> bool:
    """Return whether a run was trained on the VOC data set and evaluated on its val split."""
    data = run.config.get("data") or {}
    return all((data.get(part) or {}).get("type") == "VOC" for part in ("train", "val"))


def _cams_over_training(
    request: FigureRequest, galleries: Mapping[str, RunFiles], student: int
) -> tuple[str, dict[str, dict[int, Picture]]]:
    """Return the name of an image that all galleries hold, and its CAMs by label and iteration; "" for none."""
    names = [[image["name"] for shot in run.gallery[-1:] for image in shot["images"]] for run in galleries.values()]
    common = [name for name in names[0] if all(name in others for others in names)] if names else []
    if request.image and request.image not in common:
        known = f"there are {', '.join(common)}" if common else "they have no gallery of a common image"
        raise UserError(f"not every run pictures image {request.image}: {known}")
    if not common:
        return "", {}
    chosen = request.image or common[0]
    pictures: dict[str, dict[int, Picture]] = {}
    for label, run in galleries.items():
        found = {shot["iter"]: gallery_picture(shot, chosen, "CAM", student) for shot in run.gallery}
        pictures[label] = {iteration: picture for iteration, picture in found.items() if picture is not None}
    return chosen, pictures


def _filtered_image(run: RunFiles, request: FigureRequest) -> tuple[dict[str, Any], int]:
    """Return a shot of a run's gallery and the number of the image in it to show, by default the most filtered one.

    Raises:
        UserError: The run has no such image or iteration, or the filter fitted nothing.
    """
    if not run.gallery:
        raise UserError(f"{run.path} has no gallery: train it with evaluation.gallery=N")
    shots = [shot for shot in run.gallery if request.iteration in (None, shot["iter"])]
    if not shots:
        known = ", ".join(str(shot["iter"]) for shot in run.gallery)
        raise UserError(f"the gallery of {run.path} has no iteration {request.iteration}: there are {known}")
    names = [image["name"] for image in shots[-1]["images"]]
    if request.image and request.image not in names:
        raise UserError(f"the gallery of {run.path} has no image {request.image}: there are {', '.join(names)}")
    for shot in reversed(shots):
        fitted = [
            (sum(losses["filtered"] for losses in image["losses"]), -number)
            for number, image in enumerate(shot["images"])
            if request.image in ("", image["name"]) and any(one["fitted"] for one in image.get("losses") or ())
        ]
        if fitted:
            return shot, -max(fitted)[1]
    raise UserError(
        f"the noise filter of {run.path} fitted no mixture to {request.image or 'any image'} of the gallery: "
        "it acts from noise_filter.start on, on images with more than noise_filter.min_pixels losses"
    )
