"""Score label maps of another program and store the result in a store, where tables find it like that of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dupl.config import catalogue, overrides
from dupl.config.check import RECIPE
from dupl.config.fingerprint import hash_of
from dupl.data.orientation import check_orientations
from dupl.data.reads import read_record
from dupl.data.spread import spread
from dupl.engine import build
from dupl.engine.evaluation.checkpoint import PICTURES, WrittenEvaluation
from dupl.engine.evaluation.identity import identity
from dupl.engine.evaluation.label_maps import VOID, LabelMaps, score
from dupl.engine.evaluation.write import write
from dupl.errors import UserError
from dupl.lock import hold
from dupl.report.figures.image_row import ImageRow
from dupl.report.figures.picture_page import picture_page
from dupl.runs import label_maps, layout
from dupl.runs.evaluation import read_evaluations
from dupl.runs.evaluation_files import read_metrics
from dupl.runs.run import Run

KINDS = ("seg", "cam")
PROTOCOLS = ("train", "final")


def store_label_maps(
    folder: Path,
    name: str,
    recipe: str,
    root: Path,
    *,
    split: str = "val",
    kind: str = "seg",
    protocols: Sequence[str] = PROTOCOLS,
    void: str = "refuse",
    sets: Mapping[str, Any] | None = None,
    command: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> list[WrittenEvaluation]:
    """Score label maps on a split of a recipe's data, and write the evaluations into the entry of their name.

    The maps are scored once; each protocol gets the same evaluation, because label maps are what they are.

    Args:
        folder: Holds a PNG by the name of each image.
        name: Of the entry.
        recipe: Whose ``data`` and ``evaluation`` are taken.
        root: The store.
        split: Entry of the recipe's ``data``.
        kind: One of `KINDS`.
        protocols: In the columns of which protocols the maps stand in tables.
        void: As of `LabelMaps`.
        sets: New values of the recipe by path.
        command: The command line, which a new entry records.
        progress: Called with images done and in all.

    Raises:
        UserError: An argument is unknown, the data set has no masks, a label map does not fit it, or the entry has
            other label maps of the split.
        Held: Another process scores label maps of this name.
    """
    label_maps.check_name(name)
    _check("kind", kind, KINDS)
    _check("void", void, VOID)
    for protocol in protocols:
        _check("protocol", protocol, PROTOCOLS)
    config = overrides.apply(catalogue.load(recipe), dict(sets or {}), RECIPE)
    source = build.build_dataset(config, split)
    if not source.has_masks:
        hint = source.mask_hint()
        raise UserError(f"data.{split} has no masks to score label maps with{f'; {hint}' if hint else ''}")
    check_orientations(source, f"data.{split}")
    maps, data = LabelMaps(folder, source, kind, void), config.data[split].to_dict()
    label = build.split_label(config, split)
    record = read_record(source, data, masks=True)
    of = identity({"maps": hash_of(maps.digest()), "kind": kind, "void": void, "data": record["id"]})
    found = score(maps, config.evaluation.to_dict(), progress)
    written = []
    with hold(label_maps.entry_folder(root, name), what="the entry of this name"):
        run = label_maps.open_entry(root, name, list(command))
        _refuse_others(run, name, label, of, protocols)
        for protocol in protocols:
            facts: dict[str, Any] = {
                "protocol": maps.title(),
                "name": label_maps.PROTOCOL.format(protocol),
                "students": "all",
            }
            facts |= {"checkpoint": label_maps.CHECKPOINT, "iter": None, "split": label, "data": data, "of": of}
            facts |= {"read": record["id"], "label_maps": {"folder": str(folder), "kind": kind, "void": void}}
            facts |= {"crf": None} if protocol == "final" else {}  # the column of the whole protocol
            place = run.path / layout.EVALUATIONS / f"{label}_{facts['name']}_{label_maps.CHECKPOINT}"
            write(place, found, f"{name}, {label}", facts, None)
            if rows := _pictures(maps):
                picture_page(rows, source.classes, place / layout.PICTURES, f"{name}, {label}", maps.title())
            written.append(WrittenEvaluation(place, f"{name}, {label}: {maps.title()}", found))
    return written


def _check(what: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise UserError(f"{what} is {value!r}: give one of {', '.join(known)}")


def _refuse_others(run: Run, name: str, label: str, of: str, protocols: Sequence[str]) -> None:
    """Refuse to replace evaluations of other label maps, data or rules."""
    for one in read_evaluations(run.path)[0]:
        if one.split == label and one.protocol in protocols and read_metrics(one.folder)[0].get("of") != of:
            raise UserError(
                f"{run.path} holds the scores of other label maps on {label}: choose another name, or remove them "
                f"(dupl runs --root {run.path.parent} {run.status.fingerprint} --rm)"
            )


def _pictures(maps: LabelMaps) -> list[ImageRow]:
    """Return rows of pictures of a few images that were scored."""
    source, rows = maps.source, []
    for k in spread(PICTURES, len(maps.judged)):
        i = maps.judged[k]
        truth, labels = source.mask(i), maps.read(i)
        present = set() if truth is None else set(np.unique(truth).tolist())
        rows.append(
            ImageRow(
                name=source.names[i],
                image=source.image(i),
                truth=truth,
                cams=[],
                cam_labels=None,
                pseudo=[labels],
                noisy=[],
                prediction=[],
                tags=tuple(one for c, one in enumerate(source.classes) if c and c in present),
                who=("as given",),
            )
        )
    return rows
