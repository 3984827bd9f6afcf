"""Evaluating one checkpoint by one protocol, with its files and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from dupl.checksum import file_sha256
from dupl.config.fingerprint import counted
from dupl.data.orientation import check_orientations
from dupl.data.reads import read_record
from dupl.data.spread import spread
from dupl.engine import build
from dupl.engine.evaluation.cache import Cache, LabelCache, LogitCache
from dupl.engine.evaluation.evaluate import NO_MASKS, Progress, evaluate_by
from dupl.engine.evaluation.final import FinalProtocol
from dupl.engine.evaluation.identity import identity, own_folder
from dupl.engine.evaluation.options import EvaluationOptions
from dupl.engine.evaluation.pictures import image_rows
from dupl.engine.evaluation.result import EvaluationResult, subset_of
from dupl.engine.evaluation.thresholds import Curves
from dupl.engine.evaluation.train_time import CamProtocol
from dupl.engine.evaluation.write import write
from dupl.engine.precision import warning
from dupl.engine.restore import Restored
from dupl.engine.trained_classes import match_classes
from dupl.errors import UserError
from dupl.lock import hold
from dupl.report.figures.picture_page import picture_page
from dupl.runs import layout
from dupl.runs.config import read_config_values

PICTURES = 8  # images on a page of pictures


@dataclass(frozen=True)
class WrittenEvaluation:
    """An evaluation and its files.

    Attributes:
        folder: Folder of its files.
        title: Data, protocol and checkpoint.
        evaluation: The result.
        reused: Number of images whose label maps an earlier command made.
    """

    folder: Path
    title: str
    evaluation: EvaluationResult
    reused: int = 0


def evaluate_checkpoint(
    restored: Restored,
    split: str,
    options: EvaluationOptions,
    *,
    out: Path | None = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> list[WrittenEvaluation]:
    """Evaluate a checkpoint and write ``DATA_PROTOCOL_CHECKPOINT/`` for the protocol and each of its parts.

    If that folder holds an evaluation of other weights, data or settings of the model, ``-2`` and so on is appended.

    The final protocol caches its label maps in that folder (``labels``, ``crf``); a repeated command continues with
    them if weights, settings and data are the same. Logits are cached in a folder of their own, which serves every
    backend, CRF and student.

    Args:
        restored: The recipe and its weights.
        split: Entry of the recipe's ``data``.
        options: Options of the evaluation.
        out: Parent of the folders; the run's ``evaluation`` where None.
        progress: Called with images done and in all.
        tell: Called with a line where the classes of the data set stand in another order than the model's, where
            masks are missing, and where the device emulates the precision.

    Raises:
        Held: Another process makes the same evaluation.
        UserError: The data set has no masks or cannot be read, or an option does not fit; its classes are not those
            that the model was trained on.
    """
    config, checkpoint = restored.config, restored.name
    settings = config.evaluation.to_dict()
    original = build.build_dataset(config, split)
    source, note = match_classes(original, restored.recorded_classes(), restored.folder, f"data.{split}")
    if note and tell is not None:
        tell(note)
    check_orientations(source, f"data.{split}")
    model = restored.model(source.classes)
    emulated = warning(model.precision, next(model.parameters()).device, "evaluation")
    if tell is not None and emulated is not None:
        tell(emulated)
    protocol = options.build(settings, len(model.students), model.cam_scales)
    if protocol.needs_masks and not source.has_masks:
        hint = source.mask_hint()
        raise UserError(f"{NO_MASKS}; {hint}" if hint else NO_MASKS)
    if tell is not None and (hint := source.mask_hint()):
        tell(f"data.{split}: masks are missing ({hint})")
    data = config.data[split].to_dict()
    label = build.split_label(config, split)
    parent = out or restored.folder / layout.EVALUATIONS
    record = read_record(original, data, masks=True)
    made_of = {"weights": file_sha256(restored.checkpoint)[:16], "precision": model.precision, "data": record["id"]}
    made_of["model"] = identity(counted({"model": config.model.to_dict()}))
    of = {name: identity(made_of | part.facts) for name, part in protocol.parts.items()}
    folders = {name: own_folder(parent / f"{label}_{name}_{checkpoint}", of[name]) for name in protocol.parts}
    if isinstance(protocol, FinalProtocol):
        _cache_labels(protocol, folders, made_of, of)
        logits = parent / f"{label}_{protocol.sizes.replace('final', 'logits')}_{checkpoint}"
        _cache_logits(protocol, logits, made_of, options.keep_logits)
    lock = f".{label}_{next(iter(protocol.parts))}_{checkpoint}.lock"
    with hold(parent, name=lock, what="this evaluation"):
        found = evaluate_by(protocol, model, source, settings, workers=config.runtime.workers, progress=progress)
    written = []
    heading = f"{label}, {restored.title}"
    title = f"{restored.folder.name}, {heading}"
    for name, part in protocol.parts.items():
        facts = {"protocol": part.title, "name": name, "students": list(options.students) or "all", **part.facts}
        facts |= {"checkpoint": str(restored.checkpoint), "iter": restored.iteration, "split": label, "data": data}
        facts |= {"cam_scales": list(model.cam_scales), "of": of[name], "read": record["id"]}
        if options.like_training and _like_training(config, restored.folder):
            facts["as_in_training"] = True
        subset = subset_of(settings.get("subset"), source.classes)
        curves = Curves(protocol.curves, subset) if isinstance(protocol, CamProtocol) else None
        write(folders[name], found[name], title, facts, curves)
        if rows := image_rows(protocol, name, model, source, spread(PICTURES, len(source))):
            picture_page(rows, source.classes, folders[name] / layout.PICTURES, title, part.title)
        reused = protocol.reused if isinstance(protocol, FinalProtocol) else 0
        written.append(WrittenEvaluation(folders[name], f"{heading}: {part.title}", found[name], reused))
    return written


def _like_training(config: Config, folder: Path) -> bool:
    """Return whether a recipe evaluates as the run in a folder did: its model, its precision and its settings."""
    try:
        trained = read_config_values(folder)
    except UserError:  # a file of weights that no run made
        return False
    now, names = config.to_dict(), ("size", "cam_threshold")
    own, before = now["evaluation"], trained.get("evaluation") or {}
    alike = all(own[name] == before.get(name) for name in names)
    alike = alike and now["runtime"]["precision"] == (trained.get("runtime") or {}).get("precision")
    return alike and counted({"model": now["model"]}) == counted({"model": trained.get("model")})


def _cache_labels(
    protocol: FinalProtocol, folders: Mapping[str, Path], made_of: dict[str, Any], of: Mapping[str, str]
) -> None:
    """Give each part of a protocol a cache of label maps in its folder."""
    for name, part in protocol.parts.items():
        folder = folders[name] / (layout.LABELS if name == protocol.plain else layout.CRF)
        protocol.caches[name] = LabelCache(folder, made_of | part.facts | {"of": of[name]})


def _cache_logits(protocol: FinalProtocol, folder: Path, made_of: dict[str, Any], keep: bool) -> None:
    """Give a protocol a cache of logits, if it is to write them or they exist."""
    made_of = made_of | {"scales": protocol.scales, "size": protocol.size}
    made_of |= {"of": identity(made_of)}
    folder = own_folder(folder, made_of["of"])
    note = folder / layout.LOGITS_NOTE
    if keep or Cache.fits(folder, made_of, note):
        protocol.logits, protocol.keep_logits = LogitCache(folder, made_of, note), keep
