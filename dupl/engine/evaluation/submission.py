"""Making the archive of results that the PASCAL VOC test server accepts."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from dupl.atomic import atomic_write
from dupl.checksum import file_sha256
from dupl.data.classes import VOC_CLASSES
from dupl.data.files import FORMATS
from dupl.data.reads import read_record
from dupl.data.voc import VOC
from dupl.engine.error_explanations import plain_errors
from dupl.engine.evaluation.cache import LabelCache
from dupl.engine.evaluation.evaluate import Progress
from dupl.engine.evaluation.final import FinalProtocol
from dupl.engine.evaluation.options import EvaluationOptions
from dupl.engine.restore import Restored
from dupl.errors import UserError
from dupl.execute.heartbeat import beat

LAYOUT = Path("results/VOC2012/Segmentation/comp6_test_cls")  # comp6: trained on more than VOC's images
ARCHIVE = "results.tgz"


def submit(
    restored: Restored, root: Path, split: str, out: Path, options: EvaluationOptions, progress: Progress | None = None
) -> Path:
    """Label a list of VOC by the final protocol and pack the archive; a repeated command continues.

    Neither masks nor tags are read.

    Args:
        restored: The recipe and its weights.
        root: Folder of VOC with JPEGImages and ImageSets/Segmentation.
        split: Name of the list, such as "test".
        out: Folder of the results and of the archive.
        options: Options of the final protocol, for one student or the mean.
        progress: Called with images done and in all.

    Returns:
        The archive.

    Raises:
        UserError: The model does not have VOC's classes, several label maps are selected, or ``out`` holds results of
            other weights or settings.
    """
    if restored.classes() != VOC_CLASSES:
        raise UserError("a VOC submission needs a model of VOC's 21 classes")
    source = VOC(str(root), split, masks=None)
    model = restored.model(VOC_CLASSES)
    protocol = options.build(restored.config.evaluation.to_dict(), len(model.students))
    if not isinstance(protocol, FinalProtocol) or protocol.present_only:
        raise UserError("a submission is made by the final protocol without tags: leave out present_only")
    if len(protocol.selection.maps("seg")) != 1:
        raise UserError("a submission has one label map: choose one student, 1, 2 or mean")
    made_of: dict[str, Any] = {
        "weights": file_sha256(restored.checkpoint)[:16],
        "precision": model.precision,
        "list": split,
    }
    made_of |= {"students": options.students, "protocol": protocol.name, **protocol.parts[protocol.name].facts}
    made_of["photos"] = read_record(source, {}, masks=False)["photos"]
    cache = LabelCache(out / LAYOUT, made_of, "{image}.png", note=out / "submission.json", replace=False)
    protocol.caches = {protocol.name: cache}
    workers = restored.config.runtime.workers
    with plain_errors(protocol.smaller, workers):
        for done, _ in enumerate(protocol.stream(model, source, range(len(source)), workers), 1):
            beat()
            if progress is not None:
                progress(done, len(source))
    check(out, source)
    return pack(out, source.names)


def check(out: Path, source: VOC) -> None:
    """Check that each photo of the list has a label map of its size, and that there is no other file.

    Raises:
        UserError: A file is missing, unknown or of another size.
    """
    made = {path.stem for path in (out / LAYOUT).glob("*.png")}
    for what, names in (("is missing", set(source.names) - made), ("is not on the list", made - set(source.names))):
        if names:
            raise UserError(f"{out / LAYOUT}: {min(names)}.png {what}, and {len(names) - 1} more")
    for i, name in enumerate(source.names):
        with Image.open(source.where(i), formats=FORMATS) as photo, Image.open(out / LAYOUT / f"{name}.png") as labels:
            if labels.mode != "P" or labels.size != photo.size:
                raise UserError(
                    f"{out / LAYOUT / name}.png is {labels.mode} {labels.size}; remove it and repeat the command"
                )


def pack(out: Path, names: Sequence[str]) -> Path:
    """Write the archive completely or not at all; the same label maps give the same bytes."""
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
