"""Random damage to every kind of file that is read: nothing but an answer or one clear line may come of it.

    python benchmarks/fuzz.py --run runs/demo --minutes 60 --seed 1 --at fuzz

Damages sound files of each kind, reads them as the product does, counts answers and refusals. Anything else (another
error, a message of several lines, 20 seconds of CPU) is kept in the folder with its traceback. All kinds get the same
time. --run is a finished run, whose files are further kinds: pages and tables read them. Where the interpreter crashes,
what it was reading lies in the folder.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import json
import math
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save
from timm.models.vision_transformer import VisionTransformer

from dupl.config import catalogue, reader
from dupl.data.classes import COCO_CLASSES
from dupl.data.files import FORMATS, read_image, read_mask
from dupl.data.instances import Instances
from dupl.data.tag_table import read_tag_table
from dupl.data.voc import objects_in_xml, read_ids
from dupl.engine.checkpoints import load
from dupl.engine.evaluation.cache import Cache, LabelCache, LogitCache
from dupl.engine.weights import load_weights
from dupl.errors import RunError, UserError
from dupl.method.timm_vit import load_weights as load_backbone
from dupl.plans import plan, sweep
from dupl.report.pages.run import write
from dupl.report.pages.run_files import read_run
from dupl.runs.reproduce import differences
from dupl.runs.run import Run
from dupl.runs.store import RunStore

CacheOf = TypeVar("CacheOf", bound=Cache)
VIT: Any = VisionTransformer(img_size=16, patch_size=8, embed_dim=8, depth=1, num_heads=1, num_classes=0)
MOST_SECONDS = 20  # of CPU, for one file
MOST_BYTES = 3 << 30  # of memory
ORIENTED = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
PIECES = (b"\0", b"\n", b'"', b"[", b"{", b"<", b"&", b"'", b",", b"-1", b"0", b"1e999", b"NaN", b"null", b"9" * 30)
STRANGE: tuple[Any, ...] = (
    *(None, True, -1, 0, 0.5, 1e308, math.nan, math.inf, 10**400, -(10**400)),
    *("", "a", "\0", "\ud800", "9" * 5000, [], {}, [[]], {"a": None}, [1], {"\ud800": 1}, [math.nan]),
)


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        whole: A sound file.
        read: What reads it.
        at: Where it lies, below a folder.
    """

    whole: bytes
    read: Callable[[Path], object]
    at: str = "file"


def picture(form: str, mode: str, **options: Any) -> bytes:
    """A small image file."""
    noise = np.random.default_rng(0).integers(0, 255, (9, 11, 3), np.uint8)
    file = io.BytesIO()
    exif = {"exif": ORIENTED} if form in ("JPEG", "PNG", "WEBP") else {}
    Image.fromarray(noise).convert(mode).save(file, form, **exif, **options)
    return file.getvalue()


def grey_16_bit() -> bytes:
    """A grey PNG that uses all 16 bits."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 2**16, (9, 11), np.uint16)).save(file, "PNG")
    return file.getvalue()


def frames(form: str) -> bytes:
    """An animation, or a file of several pages."""
    file, noise = io.BytesIO(), np.random.default_rng(0).integers(0, 255, (3, 9, 11, 3), np.uint8)
    first, *others = [Image.fromarray(one) for one in noise]
    first.save(file, form, save_all=True, append_images=others)
    return file.getvalue()


def checkpoint(zipped: bool) -> bytes:
    """A small checkpoint, as of now or as of old."""
    file = io.BytesIO()
    content = {"state_dict": {"a": torch.zeros(3)}, "meta": {"iter": 3}}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def logits() -> bytes:
    """Cache logits of two scales."""
    file = io.BytesIO()
    np.savez(file, np.zeros((3, 2, 2), np.float32), np.ones((3, 3, 3), np.float32))
    return file.getvalue()


def instances() -> bytes:
    """COCO's annotations of two photos, with every kind of outline."""
    outlines = [
        [[1, 1, 8, 1, 8.5, 7, 1, 7], [2, 2, 3, 2, 3, 3]],
        {"size": [9, 11], "counts": [10, 9, 80]},
        {"size": [9, 11], "counts": ":9`2"},
    ]
    objects = [
        dict(id=n, image_id=7 + n % 2, category_id=n + 1, area=10.5 * n, iscrowd=0, segmentation=one)
        for n, one in enumerate(outlines)
    ]
    photos = [dict(id=7 + n, file_name=f"{n}.jpg", height=9, width=11) for n in range(2)]
    categories = [dict(id=n, name=name) for n, name in enumerate(COCO_CLASSES[1:], 1)]
    return json.dumps(dict(info={}, images=photos, annotations=objects, categories=categories)).encode()


def upright(path: Path) -> object:
    """A photo turned as it says."""
    return read_image(path, upright=True)


def masks(path: Path) -> object:
    """Every mask that annotations describe."""
    index = Instances(path, COCO_CLASSES)
    return [index.mask(row) for row in range(len(index))]


def weights(path: Path) -> None:
    """A checkpoint into a network."""
    load_weights(torch.nn.ParameterDict({"a": torch.zeros(3)}), path)  # type: ignore[arg-type]


def kept(kind: type[CacheOf], path: Path) -> CacheOf:
    """What keeps a file, two folders above it."""
    folder = path.parents[1]
    folder.with_suffix(".json").write_text("{}\n")
    return kind(folder, {})


def look(folder: Path) -> None:
    """A run's folder as its page reads it; damage is told in single lines."""
    found = read_run(folder)
    for problem in found.problems:
        assert "\n" not in problem
    assert write(folder, folder.parent / "page.html").read_text("utf-8").startswith("<!doctype html>")


def tables(folder: Path) -> None:
    """The tables of the store that a folder is in; damage is told in single lines."""
    store = RunStore(folder.parent)
    store.frame()
    store.counts()
    store.per_image()
    for _, reason in store.skipped:
        assert "\n" not in reason


def data(folder: Path) -> None:
    """How the data of a run differ from others."""
    found = Run(folder).read_json("data.json")
    differences(found, {"train": {"images": 24, "classes": "a"}, "val": {}})


def backbone(path: Path) -> None:
    """Weights of a backbone."""
    load_backbone(VIT, path)


def declared(kind: str, name: str, read: Callable[[Path], object]) -> Kind:
    """Return a plan or sweep of ours with what it builds on."""
    whole = catalogue.to_text(catalogue.declared(catalogue.resolve(name, kind)).values).encode()
    return Kind(whole, read, f"{kind}/file.py")


def files() -> dict[str, Kind]:
    """The kinds that are files of their own."""
    photos = {
        **{form: picture(form, "RGB") for form in FORMATS if form != "JPEG2000"},
        "progressive": picture("JPEG", "RGB", progressive=True),
        "CMYK": picture("JPEG", "CMYK"),
        "16 bit": grey_16_bit(),
        "lossless": picture("WEBP", "RGBA", lossless=True),
        **{f"TIFF {how}": picture("TIFF", "RGB", compression=how) for how in ("tiff_lzw", "tiff_deflate", "jpeg")},
        **{f"{form} frames": frames(form) for form in ("GIF", "PNG", "WEBP", "TIFF")},
    }
    kinds = {f"photo {name}": Kind(whole, upright) for name, whole in photos.items()}
    kinds |= {f"mask {form}": Kind(picture(form, "L"), read_mask) for form in ("PNG", "GIF", "TIFF", "BMP")}
    config = catalogue.to_text(catalogue.load("demo/toy")).encode()
    return kinds | {
        "palette": Kind(picture("PNG", "P"), read_mask),
        "tags": Kind(b"image,tags,split\na.jpg,cat dog,train\nb.png,,val\n", read_tag_table),
        "columns": Kind(b"image;cat;dog\na.jpg;1;0\n", read_tag_table),
        "list": Kind(b"2007_000032\n/JPEGImages/2007_000033.jpg /Masks/2007_000033.png\n", read_ids),
        "xml": Kind(b"<?xml version='1.0'?><annotation><object><name>cat</name></object></annotation>", objects_in_xml),
        "COCO": Kind(instances(), masks),
        "literals": Kind(b"_base_ = []\nmodel = dict(a=[1, 2.5] * 3, b={'x': None})\n", reader.read),
        "recipe": Kind(config, catalogue.read),
        "checkpoint": Kind(checkpoint(True), load),
        "old checkpoint": Kind(checkpoint(False), load),
        "weights": Kind(checkpoint(True), weights),
        "backbone": Kind(save(VIT.state_dict()), backbone, "backbone.safetensors"),
        "plan": declared("ablations", "table5b_warmup", lambda path: plan.load(path).expand()),
        "sweep": declared("sweeps", "weights", sweep.load),
        "kept logits": Kind(logits(), lambda path: kept(LogitCache, path).read("a", 0), "kept/1/a.npz"),
        "kept labels": Kind(
            picture("PNG", "P"), lambda path: kept(LabelCache, path).read("a", ["seg/1"]), "kept/1/a.png"
        ),
    }


PAGE = ("status.json", "config.py", "scalars.jsonl", "metrics.json", "per_class.csv", "confusion.csv")
TABLES = ("status.json", "metrics.json", "confusion.csv", "per_image.csv")


def of_run(run: Path) -> dict[str, Kind]:
    """The files of a run, its checkpoints aside: one of each name, read with the whole folder."""
    paths = [*run.glob("*.*"), *run.glob("evaluation/*/*.*")]
    sheets = {f"gallery {path.suffix}": path for path in sorted(run.glob("gallery/*.*"))}
    places = {path.name: path for path in sorted(paths)} | sheets
    readers = [(look, name) for name in (*PAGE, *sheets)] + [(tables, name) for name in TABLES]
    readers += [(data, "data.json")]
    kinds: dict[str, Kind] = {}
    for read, name in readers:
        at = places[name].relative_to(run)
        up = len(at.parts) - 1
        kinds[f"{read.__name__}: {name}"] = Kind(
            places[name].read_bytes(), lambda file, up=up, read=read: read(file.parents[up]), f"store/run/{at}"
        )
    return kinds


def damaged(whole: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, added, removed or moved, or the end cut off; of JSON also a value replaced."""
    if whole[:1] in (b"{", b"[") and rng.random() < 0.5:
        return replaced(whole, rng)
    data = bytearray(whole)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        how = rng.random()
        if how < 0.4:
            data[at : at + 1] = bytes([rng.choice((0, 127, 128, 255, rng.randrange(256)))])
        elif how < 0.55:
            del data[at : at + rng.randint(1, 20)]
        elif how < 0.7:
            data[at:at] = rng.randbytes(rng.randint(1, 8))
        elif how < 0.8:
            data[at : at + rng.randint(0, 3)] = rng.choice(PIECES)
        elif how < 0.9:
            start = rng.randrange(len(data) + 1)
            data[at:at] = data[start : start + rng.randint(1, 200)]
        else:
            del data[at:]
    return bytes(data)


def replaced(whole: bytes, rng: random.Random) -> bytes:
    """JSON, or the first line of it, with a value somewhere replaced, removed or under another name."""
    try:
        value, rest = json.loads(whole), b""
    except ValueError:
        first, end, rest = whole.partition(b"\n")
        value, rest = json.loads(first), end + rest
    spots = list(_spots(value))
    if spots:
        holder, key = rng.choice(spots)
        how = rng.random()
        if how < 0.8:
            holder[key] = rng.choice(STRANGE)
        elif how < 0.9 or isinstance(holder, list):
            del holder[key]
        else:
            holder[rng.choice(("", "a", "\ud800", "a/b/c", "__class__"))] = holder.pop(key)
    return json.dumps(value).encode() + rest


def _spots(value: Any) -> Iterator[tuple[Any, Any]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield value, key
        yield from _spots(item)


class Slow(BaseException):
    """A file that takes too long."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises ``Slow`` after so many seconds of CPU."""

    def stop(*_: object) -> None:
        raise Slow(f"more than {seconds:g} s of CPU")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@dataclass
class Tally:
    """What became of the files of one kind.

    Attributes:
        answers: That were read.
        refused: With a clear error.
        failed: Otherwise, by how.
        seconds: Of CPU.
    """

    answers: int = 0
    refused: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def __str__(self) -> str:
        told = "".join(f"; {count} x {how}" for how, count in self.failed.items())
        return f"{self.answers + self.refused:7} files, {self.refused:7} refused, {self.seconds:5.0f} s{told}"


def outcome(kind: Kind, file: Path, limit: float = MOST_SECONDS) -> str:
    """Read a file: "answer", "refused", or how else it went, with the traceback.

    Args:
        kind: Of the file.
        file: It.
        limit: Seconds of CPU it may take.
    """
    try:
        with limited(limit), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind.read(file)
    except (UserError, RunError) as error:
        return "refused" if "\n" not in str(error) else f"several lines\n{error}"
    except (Exception, Slow) as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}, {Path(place.filename).name}:{place.lineno}\n{traceback.format_exc()}"
    return "answer"


def lay_out(kinds: dict[str, Kind], run: Path | None, below: Path) -> dict[str, Path]:
    """Write every kind's whole file, and read it; where each lies."""
    if run is not None:
        left = shutil.ignore_patterns("*.pth", "wandb", "logs")
        shutil.copytree(run, below / "store" / "run", ignore=left, dirs_exist_ok=True)
    places = {name: below / kind.at for name, kind in kinds.items()}
    for name, kind in kinds.items():
        places[name].parent.mkdir(parents=True, exist_ok=True)
        places[name].write_bytes(kind.whole)
        kind.read(places[name])
    return places


def main() -> None:
    """Fuzz until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a finished run")
    parser.add_argument("--minutes", type=float, default=1.0, help="of CPU")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at", type=Path, default=Path("fuzz"), help="where it works and keeps what failed")
    parser.add_argument("--only", help="part of the names of kinds")
    args = parser.parse_args()

    faulthandler.enable()
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
    kinds = files() | (of_run(args.run) if args.run else {})
    kinds = {name: kind for name, kind in kinds.items() if args.only is None or args.only in name}
    places = lay_out(kinds, args.run, args.at)
    (args.at / "found").mkdir(exist_ok=True)
    tallies, rng = {name: Tally() for name in kinds}, random.Random(args.seed)
    start = told = time.process_time()
    while (now := time.process_time()) - start < 60 * args.minutes:
        name = min(tallies, key=lambda name: tallies[name].seconds)
        kind, place, tally = kinds[name], places[name], tallies[name]
        content = damaged(kind.whole, rng)
        place.write_bytes(content)
        went, _, trace = outcome(kind, place).partition("\n")
        place.write_bytes(kind.whole)
        tally.answers += went == "answer"
        tally.refused += went == "refused"
        if went not in ("answer", "refused"):
            tally.failed[went] += 1
            if tally.failed[went] == 1:
                kept = args.at / "found" / f"{name} {sum(len(t.failed) for t in tallies.values())}"
                kept.write_bytes(content)
                kept.with_name(f"{kept.name}.txt").write_text(f"{went}\n{trace}")
        tally.seconds += time.process_time() - now
        if now - told > 30:
            told = now
            _report(tallies, now - start, args.at)
    _report(tallies, time.process_time() - start, args.at)
    print((args.at / "report.txt").read_text())
    sys.exit(any(tally.failed for tally in tallies.values()))


def _report(tallies: dict[str, Tally], seconds: float, at: Path) -> None:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    every = sum(t.answers + t.refused + sum(t.failed.values()) for t in tallies.values())
    lines = [f"{name:32} {tally}" for name, tally in tallies.items()]
    head = f"{every:,} files in {seconds / 60:.1f} minutes of CPU, {memory} MiB at most\n"
    part = at / "report.part"
    part.write_text(head + "".join(f"{line}\n" for line in lines))
    os.replace(part, at / "report.txt")


if __name__ == "__main__":
    main()
