"""Run several trained models on the same images, for a picture of methods side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dupl.data.base import ImageSet
from dupl.engine import build
from dupl.engine.choose_student import choose_student
from dupl.engine.evaluation.label_maps import read_labels
from dupl.engine.evaluation.pictures import computed_row
from dupl.engine.evaluation.selection import MapSelection
from dupl.engine.evaluation.train_time import TrainTimeProtocol
from dupl.engine.restore import Restored, restore
from dupl.engine.trained_classes import match_classes
from dupl.errors import UserError
from dupl.report.figures.image_row import ImageRow
from dupl.report.image_choice import ImageChoice, IoU, choose_images, image_ious
from dupl.runs import label_maps
from dupl.runs.config import read_config_values
from dupl.runs.evaluation_files import read_metrics
from dupl.runs.store import RunStore
from dupl.runs.stored_run import StoredRun, open_run

PROTOCOL = "train"  # of the label maps that are shown, and of the IoU of images


@dataclass(frozen=True)
class Comparison:
    """Methods on the same images.

    Attributes:
        rows: The images, whose ``who`` names the methods; label maps without CAM come last.
        classes: Class names by label id, background first.
        captions: How images were chosen and label maps were made.
    """

    rows: list[ImageRow]
    classes: tuple[str, ...]
    captions: list[str]


@dataclass(frozen=True)
class Shown:
    """A method that is shown.

    Attributes:
        name: In the headings.
        stored: Its run, or the entry of its label maps.
        restored: Its weights; None for label maps of another program.
        student: Which student is shown; "1" of label maps.
    """

    name: str
    stored: StoredRun
    restored: Restored | None
    student: str = "1"


def compare(
    methods: Mapping[str, Path],
    *,
    images: str | Sequence[str] = "difference",
    count: int = 6,
    seed: int = 0,
    split: str = "val",
    kind: str = "seg",
    sets: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Compute CAMs and masks of several methods on the same images.

    Args:
        methods: Folders of runs, or of entries of label maps, by the name to show.
        images: A rule of `choose_images`, or names of images.
        count: Number of images that a rule chooses.
        seed: Of a random choice.
        split: Entry of the data of the first run.
        kind: "seg" or "cam": which label maps' IoU chooses the images.
        sets: New values of the recipes by path.
        progress: Called with methods done and in all.

    Raises:
        UserError: There is no run among them, a run has no weights, the runs have other classes, or an image is not in
            the data set.
    """
    found = [_open(name, folder, dict(sets or {})) for name, folder in methods.items()]
    models = [one for one in found if one.restored is not None]
    if not models:
        raise UserError("a comparison needs a run, whose data set has the images: label maps alone have none")
    first = models[0].restored
    assert first is not None
    source = build.build_dataset(first.config, split)
    found = [_with_student(one, first) for one in found]
    scores = {one.name: _scores(one, split, kind) for one in found}
    choice = choose_images(images, count, source.names, scores, seed)
    order = [one for one in found if one.restored is not None] + [one for one in found if one.restored is None]
    parts: list[list[ImageRow]] = []
    for done, one in enumerate(order, 1):
        parts.append(_rows(one, source, split, choice))
        if progress is not None:
            progress(done, len(order))
    rows = [_joined([part[k] for part in parts], order, scores) for k in range(len(choice.names))]
    captions = _captions(order, build.split_label(first.config, split), kind, scores)
    return Comparison(rows, source.classes, [choice.rule, *captions])


def _open(name: str, folder: Path, sets: dict[str, Any]) -> Shown:
    stored = open_run(folder)
    if stored is None:
        raise UserError(f"{folder} is no run: give folders of runs, or names of label maps (--masks)")
    if label_maps.is_entry(read_config_values(folder)):
        return Shown(name, stored, None)
    return Shown(name, stored, restore(str(folder), "last", sets))


def _with_student(one: Shown, first: Restored) -> Shown:
    """Return a method with the student that is shown: the better one on val, or the average where none was scored."""
    if one.restored is None:
        return one
    classes = one.restored.classes()
    if classes != first.classes():
        raise UserError(f"{one.stored.path} has other classes than {first.folder}: compare runs on the same data")
    count = 1 if one.restored.config.model.students.type == "SingleStudent" else 2
    name = choose_student(one.restored, None, count).name
    return replace(one, student="1" if count == 1 else name)


def _scores(one: Shown, split: str, kind: str) -> IoU:
    """Return the IoU of each image by the evaluation of the split that speaks for a run; empty where there is none."""
    wanted = f"{kind}/{one.student}"
    for stored in one.stored.evaluations:
        if stored.last and stored.protocol == PROTOCOL and stored.split.partition("-")[0] == split:
            store = RunStore(one.stored.path.parent)
            counts = store.images_of(one.stored, PROTOCOL, stored.split, lambda maps: [m for m in maps if m == wanted])
            return {} if counts is None else image_ious(counts, wanted)
    return {}


def _rows(one: Shown, source: ImageSet, split: str, choice: ImageChoice) -> list[ImageRow]:
    """Return the pictures of one method."""
    places = {name: i for i, name in enumerate(source.names)}
    if one.restored is None:
        return [_given_row(one, source, places[name]) for name in choice.names]
    restored = one.restored
    own, _ = match_classes(source, restored.recorded_classes(), restored.folder, f"data.{split}")
    model = restored.model(own.classes)
    settings = restored.config.evaluation.to_dict()
    protocol = TrainTimeProtocol(settings, MapSelection.of([one.student], len(model.students)), None, model.cam_scales)
    return [computed_row(protocol, model, own, places[name]) for name in choice.names]


def _given_row(one: Shown, source: ImageSet, i: int) -> ImageRow:
    """Return an image with a label map of another program.

    Raises:
        UserError: The entry has no such label map.
    """
    for stored in one.stored.evaluations:
        facts = read_metrics(stored.folder)[0].get("label_maps") or {}
        file = Path(str(facts.get("folder"))) / f"{source.names[i]}.png"
        if file.is_file():
            labels = read_labels(file, source.classes, source.image(i).shape[:2])
            return ImageRow(source.names[i], source.image(i), source.mask(i), [], None, [], [], [labels], ())
    raise UserError(
        f"{one.stored.path} has no label map of image {source.names[i]}: its folder was moved, or it has another split"
    )


def _joined(parts: Sequence[ImageRow], order: Sequence[Shown], scores: Mapping[str, IoU]) -> ImageRow:
    """Return one row with the pictures of all methods, and the IoU of each."""
    first = parts[0]
    told = [f"{one.name} {scores[one.name][first.name]:.1f}" for one in order if first.name in scores[one.name]]
    return replace(
        first,
        cams=[cam for part in parts for cam in part.cams],
        cam_labels=[labels for part in parts for labels in part.cam_labels or ()],
        prediction=[labels for part in parts for labels in part.prediction],
        who=tuple(one.name for one in order),
        notes=f"IoU: {', '.join(told)}" if told else "",
    )


def _captions(order: Sequence[Shown], split: str, kind: str, scores: Mapping[str, IoU]) -> list[str]:
    """Return how images were labelled and scored; of each method where their recipes differ in it."""
    evaluations = {one.name: one.restored.config.evaluation for one in order if one.restored is not None}
    how = {name: (f"{stated.size} px", f"{stated.cam_threshold:g}") for name, stated in evaluations.items()}
    size, threshold = next(iter(how.values()))
    alike = len(set(how.values())) == 1
    own = {name: f" (squashed to {px}, outlined at {at})" for name, (px, at) in how.items() if not alike}
    what = {"seg": "masks", "cam": "CAMs"}[kind]
    whole = (f" to {size}", f" at {threshold}") if alike else ("", "")
    lines = [f"{split}, squashed{whole[0]}, no CRF; CAMs of the image's tags, outlined{whole[1]}"]
    lines.append(", ".join(f"{one.name}: {_who(one)}{own.get(one.name, '')}" for one in order))
    if any(scores.values()):
        lines.append(f"IoU: {what}, mean over the classes of the image's mask, in percent")
    return lines


def _who(one: Shown) -> str:
    """Return whose pictures are shown of a method."""
    if one.restored is None:
        return "label maps of another program"
    return "average of the students" if one.student == "mean" else f"student {one.student}"
