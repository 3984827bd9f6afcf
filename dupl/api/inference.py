"""Trained models: evaluate one, predict images with it, write masks and submissions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from dupl.api.recipes import Overrides, Wandb, override_values
from dupl.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from dupl.engine.evaluation.checkpoint import WrittenEvaluation
    from dupl.engine.predict import Prediction
    from dupl.engine.restore import Restored
    from dupl.runs.run import Run
    from dupl.runs.stored_run import StoredRun

Progress = Callable[[int, int], None]  # called with the images done and in all
AnyRun = Union[str, Path, "Run", "StoredRun"]  # a run's folder, or what `train` or a store returned
Photo = Union[str, Path, "Image", "NDArray[np.uint8]"]  # a file, a PIL image, or RGB uint8 (H, W, 3)


def evaluate(
    run: AnyRun,
    *,
    checkpoint: str | Path | None = None,
    split: str = "val",
    protocol: str = "train",
    students: Sequence[str] = (),
    crf: bool | None = None,
    crf_backend: str | None = None,
    present_only: bool = False,
    threshold: float | None = None,
    keep_logits: bool = False,
    out: str | Path | None = None,
    overrides: Overrides = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> list[WrittenEvaluation]:
    """Evaluate a checkpoint and write its tables and pictures into the run's folder ``evaluation/``.

    Args:
        run: A run; or a recipe, with ``checkpoint``.
        checkpoint: "last", "best" (selected on val during training), one of the run ("iter_000900") or a file of ours,
            of the released code or of ToCo. By default the last one of the run, as published results are.
        split: Entry of the recipe's ``data``.
        protocol: "train" (that of training: squashed images, no CRF; the paper's Tables 1 and 4), "final" (several
            scales with flips, dense CRF; Tables 2, 5 and 6) or "cam" (CAMs alone, over thresholds).
        students: "1", "2", "best" (the better one, per metric) or "mean" (averaged probabilities); all by default.
        crf: Whether the final protocol ends with the dense CRF; it does by default.
        crf_backend: "torch", the default, or "pydensecrf".
        present_only: Whether the CRF chooses among background and the image's tags only.
        threshold: On CAMs, 0 to 1; the recipe's by default.
        keep_logits: Whether to keep the logits of the final protocol: 4 bytes per class, patch and scale.
        out: Where the folders of results go.
        overrides: New values by path.
        progress: Called with the images done and in all.
        tell: Called with a line where the data have the model's classes in another order.

    Returns:
        One item for the protocol, and for "final" one more for its label maps before the CRF. Each has ``folder``,
        ``title`` and ``evaluation``, whose ``metrics`` are in percent by name, such as "seg/best/mIoU".

    Raises:
        UserError: No run or checkpoint, no masks to compare with, or an option that the protocol does not have.

    Example:
        >>> (found,) = dupl.evaluate("runs/tiny")
        >>> 0 <= found.evaluation.metrics["seg/best/mIoU"] <= 100
        True
        >>> sorted(path.name for path in found.folder.glob("*.csv"))
        ['confusion.csv', 'per_class.csv', 'per_image.csv']
    """
    from dupl.engine.evaluation.checkpoint import evaluate_checkpoint
    from dupl.engine.evaluation.options import EvaluationOptions

    options = EvaluationOptions(
        protocol=protocol,
        students=tuple(dict.fromkeys(students)),
        refine=crf,
        backend=crf_backend,
        present_only=present_only,
        threshold=threshold,
        keep_logits=keep_logits,
    )
    place = Path(out) if out is not None else None
    restored = _restored(run, checkpoint, overrides)
    return evaluate_checkpoint(restored, split, options, out=place, progress=progress, tell=tell)


def print_evaluation(one: WrittenEvaluation) -> None:
    """Print the tables of an evaluation: mIoU of every label map, IoU per class, classification.

    Args:
        one: An item that `evaluate` returned.

    Example:
        >>> (found,) = dupl.evaluate("runs/tiny")
        >>> dupl.api.print_evaluation(found)
        val, iteration ...
    """
    from dupl.report.tables.evaluation import print_evaluation as print_tables

    print_tables(one.evaluation.metrics, one.evaluation.class_rows(), one.title, one.evaluation.judged)


def evaluation_tracking(run: AnyRun, wandb: Wandb = None) -> str:
    """Choose whether an evaluation is logged on the tracked run of its run.

    Args:
        run: A run, or a recipe.
        wandb: "off", "offline", "online" or "trackio"; None logs it where the run was tracked.

    Returns:
        "off", "offline", "online" or "trackio".

    Raises:
        UserError: It is to be logged, but this is no run, or no account is set up.

    Example:
        >>> dupl.api.evaluation_tracking("runs/tiny")
        'off'
    """
    from dupl.runs.run import Run
    from dupl.track.after_training import choose_later

    made = Run(folder_of(run))
    if wandb not in (None, "off") and not made.exists():
        named = wandb if wandb == "trackio" else f"wandb {wandb}"
        raise UserError(f"{named} is for runs, and {made.path} is none: leave it out")
    return choose_later(wandb, made.path).mode


def log_evaluations(run: AnyRun, found: Sequence[WrittenEvaluation], mode: str, tell: Callable[[str], None]) -> None:
    """Log evaluations on the tracked run of their run; a failure is told and raises nothing.

    Args:
        run: Which was evaluated.
        found: What `evaluate` returned.
        mode: What `evaluation_tracking` returned.
        tell: Called with a line where it fails.

    Example:
        >>> dupl.api.log_evaluations("runs/tiny", dupl.evaluate("runs/tiny"), "off", print)
    """
    from dupl.runs.run import Run
    from dupl.track.after_training import log_evaluations as log

    log(Run(folder_of(run)), [one.folder for one in found], mode, tell)


def predict(
    run_or_checkpoint: AnyRun,
    images: Photo | Iterable[Photo],
    *,
    recipe: str | Path | None = None,
    tags: Sequence[str] | None = None,
    student: str | None = None,
    by_tags: bool = False,
    overrides: Overrides = None,
) -> list[Prediction]:
    """Segment images with a trained model, at one scale and without CRF.

    Args:
        run_or_checkpoint: A run, of which the last weights are taken; or a checkpoint file, which lies in the folder
            of its run or goes with ``recipe``.
        images: One or many: files, PIL images, or RGB arrays, uint8 (H, W, 3). Sizes may differ. Of files and PIL
            images the EXIF rotation is applied.
        recipe: Of a checkpoint that lies in no run's folder.
        tags: Names of the classes to make CAMs of; by default those that the model finds, which are the ones with a
            positive score. Masks do not depend on it without ``by_tags``.
        student: "1", "2", "best" (the better one on val at these weights) or "mean" of their probabilities, scores and
            CAMs. By default "best", or "mean" where no mask of val was scored with these weights.
        by_tags: Whether masks hold only background and the tags, given or found.
        overrides: New values of the recipe by path.

    Returns:
        One `Prediction` per image, in order, at the image's size H x W: ``mask`` uint8 (H, W) of class ids, ``scores``
        float32 (K,) before the sigmoid, ``cams`` float32 (H, W) in [0, 1) by class name, and ``classes``, the K + 1
        names by id, background first.

    Raises:
        UserError: No run or checkpoint, an image that cannot be read, an array of another type or shape, or an unknown
            tag or student.

    Example:
        >>> import numpy as np
        >>> photo = np.zeros((48, 64, 3), np.uint8)
        >>> first, second = dupl.predict("runs/tiny", [photo, "photo.png"], tags=["disc"])
        >>> first.mask.shape, first.mask.dtype, first.scores.shape
        ((48, 64), dtype('uint8'), (6,))
        >>> first.cams["disc"].shape, first.classes[:2]
        ((48, 64), ('background', 'disc'))
    """
    from dupl.engine.choose_student import choose_student
    from dupl.engine.error_explanations import plain_errors
    from dupl.engine.image_tags import check_tags
    from dupl.engine.predict import infer_image

    restored = _of_checkpoint(run_or_checkpoint, recipe, overrides)
    classes = restored.classes()
    check_tags(tags or (), classes)
    model = restored.model(classes)
    chosen = choose_student(restored, student, len(model.students)).name
    with plain_errors("smaller images"):
        size = restored.config.evaluation.size
        return [infer_image(model, _pixels(one), classes, size, tags, chosen, by_tags) for one in _photos(images)]


def predict_folder(
    run: AnyRun,
    images: Sequence[str | Path],
    out: str | Path,
    *,
    checkpoint: str | Path | None = None,
    tags: str | None = None,
    student: str | None = None,
    by_tags: bool = False,
    export: Sequence[str] = (),
    overrides: Overrides = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> tuple[int, list[str]]:
    """Segment image files and write ``masks/``, ``overlays/``, ``cams/``, ``tags.csv`` and a page into a folder.

    The page, ``index.html``, shows each photo beside its mask and the masks of the students.

    Args:
        run: A run; or a recipe, with ``checkpoint``.
        images: Files, or folders of them.
        out: The folder.
        checkpoint: As of `evaluate`, but the last one of a run by default.
        tags: Class names for all images, separated by commas or spaces, or a CSV file with the columns image and tags;
            by default those that the model finds. CAMs are made of them; masks do not depend on them without
            ``by_tags``.
        student: As of `predict`; ``infer.json`` names the one that was taken, and why.
        by_tags: Whether masks hold only background and the tags, given or found.
        export: Further formats of the masks: "coco" (run lengths), "yolo", "labelme" and "cvat" (polygons).
        overrides: New values by path.
        progress: Called with the images done and in all.
        tell: Called with a line on the student, on what of a folder is left out, and on masks beside the tags.

    Returns:
        How many images were written, and a line for each that was skipped because it cannot be read.

    Raises:
        UserError: No run, checkpoint or image, an unknown tag or student, or a folder that holds other files.

    Example:
        >>> dupl.predict_folder("runs/tiny", ["photo.png"], "out", tags="disc")
        (1, [])
        >>> sorted(path.name for path in pathlib.Path("out/cams").iterdir())
        ['photo_disc.jpg']
    """
    from dupl.engine.image_files import find_images, left_out
    from dupl.engine.predict_files import predict_files

    places = [Path(path) for path in images]
    files = find_images(places)
    if tell is not None:
        for line in left_out(places):
            tell(line)
    skipped = predict_files(
        _restored(run, checkpoint or "last", overrides),
        {file.stem: file for file in files},
        Path(out),
        tags=tags,
        student=student,
        by_tags=by_tags,
        export=export,
        progress=progress,
        tell=tell,
    )
    return len(files) - len(skipped), skipped


def write_pseudo_labels(
    run: AnyRun,
    split: str,
    out: str | Path,
    *,
    checkpoint: str | Path | None = None,
    student: str | None = None,
    threshold: float | None = None,
    overrides: Overrides = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> dict[str, float]:
    """Write the CAM pseudo-labels of a split as VOC palette PNG, to train another network on.

    The labels are the CAMs of the image's tags above the recipe's threshold, by the protocol during training: squashed
    images, several scales, no CRF. They lie in ``masks/NAME.png`` at the size of the photo; ``infer.json`` records how
    they were made.

    Args:
        run: A run; or a recipe, with ``checkpoint``.
        split: Entry of the recipe's ``data``, such as "train".
        out: The folder.
        checkpoint: As of `evaluate`.
        student: As of `predict`.
        threshold: On CAMs, 0 to 1; the recipe's by default.
        overrides: New values by path.
        progress: Called with the images done and in all.
        tell: Called with lines on the student and the protocol.

    Returns:
        Metrics in percent by name, such as "cam/1/mIoU", where images of the split have masks; else {}.

    Raises:
        UserError: No run, checkpoint or data, or a folder that holds other files.

    Example:
        >>> found = dupl.api.write_pseudo_labels("runs/tiny", "val", "labels", student="1")
        >>> list(found)
        ['cam/1/mIoU', 'cam/1/OA', 'cam/best/mIoU']
    """
    from dupl.engine.pseudo_labels import write_pseudo_labels as write

    restored = _restored(run, checkpoint or "last", overrides)
    how: dict[str, Any] = dict(student=student, threshold=threshold, progress=progress, tell=tell)
    return write(restored, split, Path(out), **how)


def mask_page(run: AnyRun, progress: Progress | None = None) -> Path:
    """Segment the photos that a run was trained and validated on, and write the page of their masks into its folder.

    Photos of validation come first; of more than a hundred, the rest is left out.

    Args:
        run: A finished run on photos with files.
        progress: Called with the photos done and in all.

    Returns:
        The page, ``masks/index.html`` in the run's folder; masks and overlays lie beside it.

    Raises:
        UserError: No run, or its photos have no files.

    Example:
        >>> dupl.api.mask_page("runs/tiny")
        Traceback (most recent call last):
        dupl.errors.UserError: runs/tiny: its photos are made by code, so that there is no page of masks
    """
    from dupl.engine.predict_files import photos_of, predict_files
    from dupl.runs import layout

    restored = _restored(run, "last", None)
    photos = photos_of(restored)
    if not photos:
        raise UserError(f"{folder_of(run)}: its photos are made by code, so that there is no page of masks")
    out = folder_of(run) / layout.MASKS
    predict_files(restored, photos, out, progress=progress)
    return out / "index.html"


def submit_voc(
    run: AnyRun,
    root: str | Path,
    out: str | Path,
    *,
    split: str = "test",
    checkpoint: str | Path | None = None,
    student: str = "mean",
    crf: bool | None = None,
    crf_backend: str | None = None,
    present_only: bool = False,
    overrides: Overrides = None,
    progress: Progress | None = None,
) -> Path:
    """Label a list of PASCAL VOC by the final protocol and pack ``results.tgz`` for its test server.

    Args:
        run: A run; or a recipe, with ``checkpoint``.
        root: VOC's folder, with JPEGImages and ImageSets.
        out: Folder of the results; repeated, the call continues there.
        split: The list of ids.
        checkpoint: As of `evaluate`.
        student: "1", "2" or "mean".
        crf: As of `evaluate`.
        crf_backend: As of `evaluate`.
        present_only: As of `evaluate`; refused, as the test server's images have no tags.
        overrides: New values by path.
        progress: Called with the images done and in all.

    Returns:
        The archive to upload.

    Raises:
        UserError: A model of other classes than VOC's, or a folder that holds the results of other weights.

    Example:
        >>> dupl.submit_voc("runs/tiny", "VOC2012", "submission")
        Traceback (most recent call last):
        dupl.errors.UserError: --voc-submission needs a model of VOC's 21 classes
    """
    from dupl.engine.evaluation.options import EvaluationOptions
    from dupl.engine.evaluation.submission import submit

    options = EvaluationOptions("final", (student,), crf, crf_backend, present_only)
    return submit(_restored(run, checkpoint, overrides), Path(root), split, Path(out), options, progress)


def _restored(run: AnyRun, checkpoint: str | Path | None, overrides: Overrides) -> Restored:
    from dupl.engine.restore import restore

    return restore(str(folder_of(run)), None if checkpoint is None else str(checkpoint), override_values(overrides))


def _of_checkpoint(run: AnyRun, recipe: str | Path | None, overrides: Overrides) -> Restored:
    """Find config and weights of a run, of a checkpoint in its run's folder, or of a recipe with a checkpoint."""
    path = folder_of(run)
    if recipe is not None:
        return _restored(recipe, path, overrides)
    if path.is_file():
        home = path.parent.parent
        if not is_run(home):
            raise UserError(f"{path} lies in no run's folder: say by which recipe it was trained, recipe='voc/dupl'")
        return _restored(home, path, overrides)
    return _restored(path, "last", overrides)


def is_run(path: str | Path) -> bool:
    """Return whether a folder is that of a run.

    Example:
        >>> dupl.api.is_run("runs/tiny"), dupl.api.is_run("voc/dupl")
        (True, False)
    """
    from dupl.runs.run import Run

    return Run(path).exists()


def folder_of(run: AnyRun) -> Path:
    """Return the folder of a run, however it was given."""
    return Path(run) if isinstance(run, (str, Path)) else run.path


def _photos(images: Any) -> list[Photo]:
    """Return one image or many as a list."""
    single = isinstance(images, (str, Path)) or hasattr(images, "shape") or hasattr(images, "getexif")
    return [images] if single else list(images)


def _pixels(image: Any) -> NDArray[np.uint8]:
    """Return an image as RGB, uint8 (H, W, 3).

    Raises:
        UserError: It cannot be read, or is no such array.
    """
    import numpy as np

    if isinstance(image, (str, Path)):
        from dupl.data.files import read_image

        return read_image(Path(image), upright=True)
    if not isinstance(image, np.ndarray):
        from PIL import ImageOps

        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise UserError(f"an image is {image.dtype} {image.shape}: give RGB as uint8 (height, width, 3)")
    return image
