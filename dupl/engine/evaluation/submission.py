"""Results for the PASCAL VOC test server: the folders, the palette and the archive it takes."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from dupl.atomic import atomic_write
from dupl.data.classes import VOC_CLASSES
from dupl.data.files import FORMATS
from dupl.data.voc import VOC
from dupl.engine.error_explanations import plain_errors
from dupl.engine.evaluation.cache import KeptLabels
from dupl.engine.evaluation.checkpoint import Choice, digest
from dupl.engine.evaluation.evaluate import Progress
from dupl.engine.evaluation.final import Final
from dupl.engine.restore import Restored
from dupl.errors import UserError
from dupl.execute.heartbeat import beat

LAYOUT = Path("results/VOC2012/Segmentation/comp6_test_cls")  # comp6: trained on more than VOC's own images
ARCHIVE = "results.tgz"


def submit(
    restored: Restored, root: Path, split: str, out: Path, choice: Choice, progress: Progress | None = None
) -> Path:
    """Label a list of VOC by the final protocol and pack what the server takes; a repeated command goes on.

    Neither masks nor tags are read.

    Args:
        restored: The recipe and its weights.
        root: Of VOC: JPEGImages and ImageSets/Segmentation.
        split: The list, such as "test".
        out: Folder of the results and of the archive.
        choice: The final protocol, of one student or the mean.
        progress: Called with images done and in all.

    Returns:
        The archive.

    Raises:
        UserError: The model's classes are not VOC's, more than one label map is asked for, or ``out`` holds results of
            other weights or settings.
    """
    if restored.classes() != VOC_CLASSES:
        raise UserError("--voc-submission needs a model of VOC's 21 classes")
    source = VOC(str(root), split, masks=None)
    model = restored.model(VOC_CLASSES)
    protocol = choice.build(restored.config.evaluation.to_dict(), len(model.students))
    if not isinstance(protocol, Final) or protocol.present_only:
        raise UserError("a submission is made by the final protocol, and without tags: leave out --present-only")
    if len(protocol.who.maps("seg")) != 1:
        raise UserError("a submission is of one label map: --student 1, 2 or mean")
    made_of = {"weights": digest(restored.checkpoint), "amp": model.amp, "list": split, "students": choice.students}
    made_of |= {"protocol": protocol.name, **protocol.parts[protocol.name].facts}
    kept = KeptLabels(out / LAYOUT, made_of, "{image}.png", note=out / "submission.json", replace=False)
    protocol.kept = {protocol.name: kept}
    workers = restored.config.runtime.workers
    with plain_errors(protocol.smaller, workers):
        for done, _ in enumerate(protocol.stream(model, source, range(len(source)), workers), 1):
            beat()
            if progress is not None:
                progress(done, len(source))
    check(out, source)
    return pack(out, source.names)


def check(out: Path, source: VOC) -> None:
    """Prove that each photo of the list has its label map, of its size, and that nothing else is there.

    Raises:
        UserError: Naming what is missing, strange or of another size.
    """
    there = {path.stem for path in (out / LAYOUT).glob("*.png")}
    for what, names in (("is missing", set(source.names) - there), ("is not on the list", there - set(source.names))):
        if names:
            raise UserError(f"{out / LAYOUT}: {min(names)}.png {what}, and {len(names) - 1} more")
    for i, name in enumerate(source.names):
        with Image.open(source.where(i), formats=FORMATS) as photo, Image.open(out / LAYOUT / f"{name}.png") as labels:
            if labels.mode != "P" or labels.size != photo.size:
                raise UserError(f"{out / LAYOUT / name}.png is {labels.mode} {labels.size}: remove it and repeat")


def pack(out: Path, names: Sequence[str]) -> Path:
    """Write the archive, whole or not at all; the same label maps give the same bytes."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for name in sorted(names):
            data = (out / LAYOUT / f"{name}.png").read_bytes()
            entry = tarfile.TarInfo((LAYOUT / f"{name}.png").as_posix())
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    atomic_write(out / ARCHIVE, buffer.getvalue())
    return out / ARCHIVE
