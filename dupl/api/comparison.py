"""Comparisons of methods: label maps of other code in the same store, and methods side by side on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.api.inference import AnyRun, Progress, folder_of
from dupl.api.recipes import Overrides, override_values
from dupl.errors import UserError

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


def write_comparison(
    methods: Mapping[str, AnyRun] | Sequence[AnyRun],
    out: str | Path,
    *,
    masks: Sequence[str] = (),
    store: str | Path = "runs",
    images: str | Sequence[str] = "difference",
    count: int = 6,
    seed: int = 0,
    split: str = "val",
    kind: str = "seg",
    title: str = "Methods side by side",
    overrides: Overrides = None,
    progress: Progress | None = None,
) -> Path:
    """Draw methods side by side: the same images are rows; image, truth, CAM and mask of each method are columns.

    The caption states how the images were chosen, which student is shown, and how masks and CAMs were made.

    Args:
        methods: Runs by the name to show, or runs alone, which are then named by their folders.
        out: The file: .png, .pdf, or .html (a page that needs no network).
        masks: Names of label maps of another program (`evaluate_label_maps`), shown as a further mask.
        store: Where these label maps are.
        images: "difference" (where the last method differs most from the first, by IoU of the image), "best" or
            "worst" (by IoU of the last one), "random", or names of images.
        count: Number of images that a rule chooses.
        seed: Of the random choice.
        split: Entry of the data of the first run.
        kind: Which label maps' IoU counts: "seg" or "cam".
        title: The heading.
        overrides: New values of the recipes by path, such as where the data lie.
        progress: Called with methods done and in all.

    Returns:
        The file.

    Raises:
        UserError: No run, no checkpoint, two methods of one name, other classes, an unknown image or rule, or no
            evaluation for the rule.

    Example:
        >>> dupl.write_comparison(["runs/tiny"], "tiny.png", images="random", count=2)
        PosixPath('tiny.png')
    """
    from dupl.engine.side_by_side import compare
    from dupl.report.figures.side_by_side import check_ending, write_side_by_side
    from dupl.runs.label_maps import entry_folder

    check_ending(Path(out))
    if kind not in ("seg", "cam"):
        raise UserError(f"kind is {kind!r}: give one of seg, cam")
    shown = methods.items() if isinstance(methods, Mapping) else [(folder_of(run).name, run) for run in methods]
    named = [(name, folder_of(run)) for name, run in shown] + [(name, entry_folder(store, name)) for name in masks]
    folders = dict(named)
    if len(folders) < len(named):
        name = next(name for name in folders if [one for one, _ in named].count(name) > 1)
        raise UserError(f"two methods are called {name}: give each a name of its own, as NAME=FOLDER on a command line")
    how: dict[str, Any] = dict(images=images, count=count, seed=seed, split=split, kind=kind)
    found = compare(folders, **how, sets=override_values(overrides), progress=progress)
    write_side_by_side(found.rows, found.classes, Path(out), title, found.captions)
    return Path(out)
