from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from dupl.data.prepare import archives
from dupl.data.prepare.archives import Archive
from dupl.data.prepare.disk import write_file


class Host:
    """A web server on this machine that can be told to misbehave.

    Attributes:
        files: Content by name.
        cuts: Bytes after which the next answers break off.
        statuses: What the next requests are answered with instead of the file.
        ranges: Whether parts are served.
        lengths: Whether answers say how long they are.
        shift: Added to the start of the parts it says it sends.
        asked: The headers of all requests.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cuts: list[int] = []
        self.statuses: list[int] = []
        self.ranges, self.shift, self.lengths = True, 0, True
        self.asked: list[dict[str, str]] = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/sets"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(dict(request.headers))
        name = request.path.removeprefix("/sets/")
        status = self.statuses.pop(0) if self.statuses else 200 if name in self.files else 404
        if status != 200:
            request.send_error(status)
            return
        body = self.files[name]
        tag = f'"{hashlib.md5(body).hexdigest()}"'
        start = 0
        wanted = request.headers.get("Range")
        if wanted and self.ranges and request.headers.get("If-Range", tag) == tag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start + self.shift}-{len(body) - 1}/{len(body)}")
        else:
            request.send_response(200)
        if self.lengths:
            request.send_header("Content-Length", str(len(body) - start))
        request.send_header("ETag", tag)
        request.end_headers()
        cut = self.cuts.pop(0) if self.cuts else len(body)
        request.wfile.write(body[start : start + cut])
        request.close_connection = True


@pytest.fixture
def host(monkeypatch) -> Iterator[Host]:
    monkeypatch.setenv("no_proxy", "*")
    host = Host()
    thread = threading.Thread(target=host.server.serve_forever, kwargs=dict(poll_interval=0.02), daemon=True)
    thread.start()
    yield host
    host.server.shutdown()
    host.server.server_close()
    thread.join()


def md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content).hexdigest()}"


def tar(path: Path, files: dict[str, bytes], mode: str = "w") -> bytes:
    with tarfile.open(path, mode) as packed:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    return path.read_bytes()


def photo(seed: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8)).save(content, "JPEG")
    return content.getvalue()


def labels(*ids: int) -> np.ndarray:
    """A mask of 20 x 30 pixels with a square of each label."""
    mask = np.zeros((20, 30), np.uint8)
    for n, label in enumerate(ids):
        mask[2:8, 2 + 9 * n : 9 + 9 * n] = label
    return mask


def png(mask: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(mask).save(content, "PNG")
    return content.getvalue()


XML = "<annotation>{}</annotation>"
# name: tags in XML (None: no XML), mask of VOC, mask of SBD
VOC_SET = {
    "2007_01": (("cat", "dog"), (8, 12, 255), (8, 12)),
    "2007_02": (("person",), (15, 255), None),
    "2007_03": (("sofa",), (18,), (18,)),
    "2008_01": (("bird", "tvmonitor"), None, (3, 20)),
    "2008_02": (None, None, (15, 7)),
}
VOC_LISTS = {"train": ("2007_01", "2007_02"), "val": ("2007_03",), "trainval": ("2007_01", "2007_02", "2007_03")}
SBD_LISTS = {"train": ("2007_01", "2008_02"), "val": ("2007_03", "2008_01")}


@pytest.fixture
def voc_archives(tmp_path: Path, host: Host, monkeypatch) -> Path:
    """VOC and SBD in miniature, packed as the real ones are, on the server and in the folder returned."""
    folder = tmp_path / "packed"
    folder.mkdir()
    files: dict[str, bytes] = {}
    for seed, (name, (tags, mask, _)) in enumerate(VOC_SET.items()):
        files[f"JPEGImages/{name}.jpg"] = photo(seed)
        if tags is not None:
            objects = "".join(f"<object><name>{tag}</name></object>" for tag in tags)
            files[f"Annotations/{name}.xml"] = XML.format(objects).encode()
        if mask is not None:
            files[f"SegmentationClass/{name}.png"] = png(labels(*mask))
            files[f"SegmentationObject/{name}.png"] = b"not wanted"
    for split, names in VOC_LISTS.items():
        files[f"ImageSets/Segmentation/{split}.txt"] = "".join(f"{name}\n" for name in names).encode()
    voc = tar(folder / "voc.tar", {f"VOCdevkit/VOC2012/{name}": content for name, content in files.items()})

    files = {f"{split}.txt": "\n".join(names).encode() for split, names in SBD_LISTS.items()}
    for name, (_, _, mask) in VOC_SET.items():
        if mask is not None:
            content = io.BytesIO()
            truth = dict(Segmentation=labels(*mask), Boundaries=np.zeros((20, 1)), CategoriesPresent=np.array(mask))
            savemat(content, {"GTcls": truth}, do_compression=True)
            files[f"cls/{name}.mat"] = content.getvalue()
            files[f"img/{name}.jpg"] = b"not wanted"
    sbd = tar(folder / "sbd.tgz", {f"benchmark_RELEASE/dataset/{n}": content for n, content in files.items()}, "w:gz")

    host.files |= {"voc.tar": voc, "sbd.tgz": sbd}
    held = {"JPEGImages": 5, "Annotations": 4, "SegmentationClass": 3, "ImageSets/Segmentation": 3}
    real = archives.VOC_TRAINVAL
    mini = Archive("voc.tar", f"{host.url}/voc.tar", len(voc), md5(voc), real.inside, real.take, real.to, held)
    monkeypatch.setattr(archives, "VOC_TRAINVAL", mini)
    held = {"sbd/cls": 4, "sbd/train.txt": 1, "sbd/val.txt": 1}
    real = archives.SBD_BENCHMARK
    mini = Archive("sbd.tgz", f"{host.url}/sbd.tgz", len(sbd), md5(sbd), real.inside, real.take, real.to, held)
    monkeypatch.setattr(archives, "SBD_BENCHMARK", mini)
    return folder


@pytest.fixture
def coco_archives(tmp_path: Path, coco_root: Path, host: Host, monkeypatch) -> Path:
    """COCO in miniature, packed as the real one is, on the server and in the folder returned."""
    folder = tmp_path / "packed"
    for attribute, inside in (
        ("COCO_ANNOTATIONS", "annotations"),
        ("COCO_TRAIN", "train2014"),
        ("COCO_VAL", "val2014"),
    ):
        real = getattr(archives, attribute)
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr(f"{inside}/", b"")
            for path in sorted((coco_root / inside).iterdir()):
                packed.write(path, f"{inside}/{path.name}")
            packed.writestr(f"{inside}/captions_val2014.json" if "ann" in inside else "__MACOSX/x", b"not wanted")
        packed_bytes = content.getvalue()
        write_file(folder / real.name, [packed_bytes])
        host.files[real.name] = packed_bytes
        held = {path: 1 if path.endswith(".json") else 4 for path in real.holds}
        sha = f"sha256:{hashlib.sha256(packed_bytes).hexdigest()}"
        url = f"{host.url}/{real.name}"
        mini = Archive(real.name, url, len(packed_bytes), sha, real.inside, real.take, real.to, held)
        monkeypatch.setattr(archives, attribute, mini)
    return folder


def sums(folder: Path) -> dict[str, str]:
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


@pytest.fixture
def checksums():
    """Reads SHA256SUMS of a folder."""
    return sums


@pytest.fixture
def full_disk(monkeypatch):
    """Makes the disk full after so many bytes; None frees it again."""
    from dupl.data.prepare import disk, download

    left: list[float] = [float("inf")]
    write_all = disk.write_all

    def limited(file, data):
        written = int(min(left[0], len(data)))
        write_all(file, data[:written])
        left[0] -= written
        if written < len(data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "write_all", limited)
    monkeypatch.setattr(download, "write_all", limited)

    def fill(after: int | None) -> None:
        left[0] = float("inf") if after is None else after

    return fill
