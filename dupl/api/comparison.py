"""Comparisons of methods: label maps of other code in the same store, and methods side by side on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dupl.api.inference import Progress
from dupl.api.recipes import Overrides, override_values

if TYPE_CHECKING:
    from dupl.engine.evaluation.checkpoint import WrittenEvaluation


def evaluate_label_maps(
    masks: str | Path,
    name: str,
    recipe: str | Path,
    root: str | Path = "runs",
    *,
    split: str = "val",
    kind: str = "seg",
    protocols: Sequence[str] = ("train", "final"),
    void: str = "refuse",
    overrides: Overrides = None,
    command: Sequence[str] = (),
    progress: Progress | None = None,
) -> list[WrittenEvaluation]:
    """Score label maps that another program wrote, and store the result beside the runs of a store.

    The entry is listed and shown like a run; a row of a plan's table takes it by its name (``masks="NAME"`` in the
    plan, or `ablation_table` with ``masks``), with intervals over the same images.

    Args:
        masks: Folder with ``NAME.png`` for each image of the split, palette or grey: label ids in the order of the
            data set's classes, 0 is background, at the size of the photo.
        name: Of the entry.
        recipe: Whose ``data`` and ``evaluation`` are taken, such as "voc/dupl".
        root: The store.
        split: Entry of the recipe's ``data``.
        kind: "seg" (segmentations) or "cam" (pseudo-labels); the metrics are then ``seg/1/...`` or ``cam/1/...``.
        protocols: In the columns of which protocols the maps stand: "train", "final" or both.
        void: What the value 255 means where the mask has a class: "refuse" (an error), "background", or "ignore" (the
            pixel is left out; the title of the evaluation says how many are).
        overrides: New values of the recipe by path, such as where the data lie.
        command: The command line, which a new entry records.
        progress: Called with the images done and in all.

    Returns:
        One item per protocol, with ``folder``, ``title`` and ``evaluation``, as `evaluate` returns them.

    Raises:
        UserError: The data set has no masks; a label map is missing, of another size than its mask, or holds a value
            that is no class; or the entry has the scores of other label maps.

    Example:
        >>> from dupl.data.toy import Toy
        >>> from dupl.report.figures.picture_files import save_palette_png
        >>> val = Toy(split="val", size=64, count=4)
        >>> for i, image in enumerate(val.names):
        ...     save_palette_png(val.mask(i), f"maps/{image}.png")
        >>> found = dupl.evaluate_label_maps("maps", "truth", "demo/toy", "runs", overrides={"data.val.count": 4})
        >>> found[0].evaluation.metrics["seg/1/mIoU"]
        100.0
    """
    from dupl.engine.evaluation.store_label_maps import store_label_maps

    return store_label_maps(
        Path(masks),
        name,
        str(recipe),
        Path(root),
        split=split,
        kind=kind,
        protocols=tuple(protocols),
        void=void,
        sets=override_values(overrides),
        command=command,
        progress=progress,
    )
