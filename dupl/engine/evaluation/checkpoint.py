"""``dupl eval``: one checkpoint by one protocol, its files and pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from dupl.config import check
from dupl.config.fingerprint import canonical
from dupl.config.schema import CRF
from dupl.data.orientation import check_orientations
from dupl.data.spread import spread
from dupl.engine import build
from dupl.engine.evaluation.cache import Kept, KeptLabels, KeptLogits
from dupl.engine.evaluation.crf import dense_crf
from dupl.engine.evaluation.evaluate import NO_MASKS, Evaluation, Progress, evaluate_by, subset_of
from dupl.engine.evaluation.final import Final
from dupl.engine.evaluation.pictures import panels
from dupl.engine.evaluation.protocols import Cam, Protocol, Squashed, Who
from dupl.engine.restore import Restored
from dupl.errors import UserError
from dupl.lock import hold
from dupl.report.figures.confusion import confusion_picture
from dupl.report.figures.over_activation import overactivation_bars
from dupl.report.figures.picture_page import picture_page
from dupl.report.figures.thresholds import threshold_picture
from dupl.report.tables.evaluation import title_of
from dupl.runs import layout
from dupl.runs.evaluation_files import class_rows
from dupl.runs.files import write_csv
from dupl.runs.metrics import mean_iou
from dupl.runs.tallies import THRESHOLDS, ThresholdTally

PROTOCOLS = ("train", "final", "cam")
PICTURES = 8  # images of a picture page


@dataclass(frozen=True)
class Choice:
    """What a person asks for.

    Attributes:
        protocol: One of ``PROTOCOLS``.
        students: Of "1", "2", ..., "best", "mean"; nothing is everyone.
        refine: Whether to run the CRF; None is the protocol's own way.
        backend: Of the CRF; None is "torch".
        present_only: The CRF chooses among background and the image's tags.
        threshold: On CAMs; None is the recipe's.
        keep_logits: Whether to keep the students' logits, from which another CRF goes on without the network.
    """

    protocol: str = "train"
    students: tuple[str, ...] = ()
    refine: bool | None = None
    backend: str | None = None
    present_only: bool = False
    threshold: float | None = None
    keep_logits: bool = False

    def build(self, settings: dict[str, Any], students: int, cam_scales: Sequence[float] = ()) -> Protocol:
        """The protocol, without kept label maps.

        Args:
            settings: The recipe's ``evaluation``.
            students: Of the model.
            cam_scales: Of the model, for the title.

        Raises:
            UserError: A wrong setting, or an option that the protocol does not have.
        """
        who = Who.of(self.students, students)
        if self.protocol != "final":
            asked = {"--crf": self.refine, "--crf-backend": self.backend, "--present-only": self.present_only}
            for option in (name for name, given in (asked | {"--keep-logits": self.keep_logits}).items() if given):
                raise UserError(f"{option} belongs to --protocol final, not to {self.protocol}")
            return {"train": Squashed, "cam": Cam}[self.protocol](settings, who, self.threshold, cam_scales)
        if self.threshold is not None:
            raise UserError("--threshold belongs to CAMs: use it with --protocol cam or train")
        if self.present_only and self.refine is False:
            raise UserError("--present-only restricts the CRF: it cannot go with --no-crf")
        backend, refine = self.backend or "torch", None
        if self.refine is not False:
            dense_crf.require(backend)
            refine = check.settings(CRF, settings.get("crf") or {}, "evaluation.crf")
        return Final(settings.get("final") or {}, who, refine, backend, self.present_only)


@dataclass(frozen=True)
class Assessment:
    """One evaluation as it was written.

    Attributes:
        folder: Of its files.
        title: Data, protocol and checkpoint.
        evaluation: What was found.
        recalled: Images whose label maps an earlier command made.
    """

    folder: Path
    title: str
    evaluation: Evaluation
    recalled: int = 0


def assess(
    restored: Restored,
    split: str,
    choice: Choice,
    *,
    out: Path | None = None,
    progress: Progress | None = None,
) -> list[Assessment]:
    """Evaluate a checkpoint and write ``DATA_PROTOCOL_CHECKPOINT/`` for the protocol and each of its parts.

    Where that folder holds an evaluation of other weights, data or settings of the model, ``-2`` and so on is added.

    Of the final protocol label maps are kept in that folder (``labels``, ``crf``); a repeated command goes on from
    them, if weights, settings and data are the same. Logits, where they are kept, lie in a folder of their own, for
    every backend, CRF and student.

    Args:
        restored: The recipe and its weights.
        split: Entry of the recipe's ``data``.
        choice: How to evaluate.
        out: Where the folders go; below the run's ``evaluation`` where None.
        progress: Called with images done and in all.

    Raises:
        Held: Another process makes the same evaluation.
        UserError: As the protocol and the data set have it.
    """
    config = restored.config
    settings = config.evaluation.to_dict()
    source = build.build_dataset(config, split)
    if not source.has_masks:
        hint = source.mask_hint()
        raise UserError(f"{NO_MASKS}; {hint}" if hint else NO_MASKS)
    check_orientations(source, f"data.{split}")
    model = restored.model(source.classes)
    protocol = choice.build(settings, len(model.students), model.cam_scales)
    data = config.data[split].to_dict()
    label = split if data.get("split", split) == split else f"{split}-{data['split']}"
    parent = out or restored.folder / layout.EVALUATIONS
    made_of = {"weights": digest(restored.checkpoint), "amp": model.amp, "data": data}
    made_of["model"] = identity(config.model.to_dict())
    of = {name: identity(made_of | part.facts) for name, part in protocol.parts.items()}
    folders = {name: own_place(parent / f"{label}_{name}_{restored.name}", of[name]) for name in protocol.parts}
    if isinstance(protocol, Final):
        for name, part in protocol.parts.items():
            folder = folders[name] / (layout.LABELS if name == protocol.plain else layout.CRF)
            protocol.kept[name] = KeptLabels(folder, made_of | part.facts | {"of": of[name]})
        logits_of = made_of | {"scales": protocol.scales, "size": protocol.size}
        logits_of |= {"of": identity(logits_of)}
        kept = f"{label}_{protocol.sizes.replace('final', 'logits')}_{restored.name}"
        place = own_place(parent / kept, logits_of["of"])
        note = place / layout.LOGITS_NOTE
        if choice.keep_logits or Kept.fits(place, logits_of, note):
            protocol.logits, protocol.keep_logits = KeptLogits(place, logits_of, note), choice.keep_logits
    lock = f".{label}_{next(iter(protocol.parts))}_{restored.name}.lock"
    with hold(parent, name=lock, what="this evaluation"):
        found = evaluate_by(protocol, model, source, settings, workers=config.runtime.workers, progress=progress)
    written = []
    for name, part in protocol.parts.items():
        facts = {"protocol": part.title, "name": name, "students": list(choice.students) or "all", **part.facts}
        facts |= {"checkpoint": str(restored.checkpoint), "iter": restored.iteration, "split": label, "data": data}
        facts |= {"cam_scales": list(model.cam_scales), "of": of[name]}
        subset = subset_of(settings.get("subset"), source.classes)
        curves = Curves(protocol.curves, subset) if isinstance(protocol, Cam) else None
        heading = f"{label}, {restored.title}"
        title = f"{restored.folder.name}, {heading}"
        write(folders[name], found[name], title, facts, curves)
        if shown := panels(protocol, name, model, source, spread(PICTURES, len(source))):
            picture_page(shown, source.classes, folders[name] / layout.PICTURES, title, part.title)
        recalled = protocol.recalled if isinstance(protocol, Final) else 0
        written.append(Assessment(folders[name], f"{heading}: {part.title}", found[name], recalled))
    return written


@dataclass(frozen=True)
class Curves:
    """CAM quality over the threshold.

    Attributes:
        tallies: By map.
        subset: Name and class ids of an mIoU over a part of the classes, which then is what counts.
    """

    tallies: dict[str, ThresholdTally]
    subset: tuple[str, list[int]] | None

    @property
    def metric(self) -> str:
        """What the lines show."""
        return self.subset[0] if self.subset else "mIoU"

    def lines(self) -> dict[str, list[float]]:
        """The metric at each threshold, by map."""
        ids = self.subset[1] if self.subset else None
        return {name: [mean_iou(m, ids) for m in tally.matrices()] for name, tally in sorted(self.tallies.items())}

    def best(self) -> dict[str, dict[str, float]]:
        """By map, the threshold of the highest value, the lowest of equals, and that value."""
        top = {name: max(range(len(line)), key=lambda k: line[k]) for name, line in self.lines().items()}
        return {name: {"threshold": THRESHOLDS[k], self.metric: self.lines()[name][k]} for name, k in top.items()}


def write(folder: Path, evaluation: Evaluation, heading: str, facts: dict[str, Any], curves: Curves | None) -> None:
    """Write tables and pictures of an evaluation; of CAMs also the curve over thresholds.

    Args:
        folder: Of the evaluation.
        evaluation: What was found.
        heading: Of the pictures: run, data and checkpoint.
        facts: What stands beside the metrics.
        curves: Of the CAM protocol.
    """
    protocol = facts["protocol"]
    evaluation.save(folder, facts if curves is None else {**facts, "best_threshold": curves.best()})
    for name, tally in evaluation.tallies.items():
        path = folder / layout.confusion_picture(name)
        confusion_picture(tally.matrix, evaluation.classes, path, f"{title_of(name)}: {heading}", protocol)
    rates: dict[str, dict[str, list[float]]] = {}
    for row in class_rows(evaluation.tallies, evaluation.classes):
        if row.class_name != evaluation.classes[0]:
            bars_of = rates.setdefault(row.label_map.split("/")[0], {})
            bars_of.setdefault(title_of(row.label_map), []).append(row.oa_rate)
    for kind, bars in rates.items():
        if any(rate == rate for values in bars.values() for rate in values):
            path = folder / layout.over_activation_picture(kind)
            overactivation_bars(bars, evaluation.classes[1:], path, f"Over-activation per class: {heading}", protocol)
    if curves is not None:
        lines = curves.lines()
        rows = [(name, *pair) for name, line in lines.items() for pair in zip(THRESHOLDS, line, strict=True)]
        write_csv(folder / layout.THRESHOLDS, ["map", "threshold", curves.metric], rows)
        named = {title_of(name): line for name, line in lines.items()}
        path, what = folder / layout.THRESHOLDS_PICTURE, f"CAM over thresholds: {heading}"
        threshold_picture(THRESHOLDS, named, path, what, protocol, f"{curves.metric} (%)", facts["cam_threshold"])


def identity(made_of: dict[str, Any]) -> str:
    """What something was made of, 16 hexadecimal digits."""
    return hashlib.sha256(canonical(made_of).encode()).hexdigest()[:16]


def own_place(folder: Path, of: str) -> Path:
    """The folder, or the first of it with -2, -3 ... that holds no results, label maps or logits of something else."""
    for k in count(1):
        place = folder if k == 1 else folder.with_name(f"{folder.name}-{k}")
        notes = [layout.METRICS, *(f"{cache}.json" for cache in (layout.LABELS, layout.CRF)), layout.LOGITS_NOTE]
        if all(_of(place / name, of) == of for name in notes):
            return place
    raise AssertionError


def _of(file: Path, otherwise: str) -> object:
    """What a file of an evaluation says it is of; ``otherwise`` where it is not there, damaged, or does not say."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return otherwise
    return told.get("of", otherwise) if isinstance(told, dict) else otherwise


def digest(file: Path) -> str:
    """Of a file's content, 16 hexadecimal digits."""
    value = hashlib.sha256()
    with open(file, "rb") as data:
        while block := data.read(1 << 20):
            value.update(block)
    return value.hexdigest()[:16]
