"""What ``benchmarks/final.py`` says of label maps: the share of pixels in which two ways to evaluate differ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Labels = NDArray[Any]


def ours(folder: Path, chunk: str, precision: str, refined: bool) -> dict[tuple[int, str], Labels]:
    """Read our label maps of a chunk, by student (from 1) and photo, before or after the CRF."""
    found = {}
    for file in sorted((folder / "ours" / f"{chunk}_{precision}").glob("*/labels/*/*.png")):
        if ("-crf-" in file.parts[-4]) == refined:
            found[int(file.parts[-2]), file.stem] = _read(file)
    return found


def released(folder: Path, chunk: str, refined: int | None) -> dict[tuple[int, str], Labels]:
    """Read those of the released script, from its logits, or from its pictures after the CRF of a student."""
    out = folder / "released"
    if refined is not None:
        return {(refined, file.stem): _read(file) for file in sorted((out / "segs" / chunk).glob("*.png"))}
    found = {}
    for file in sorted((out / "logits" / chunk).glob("branch*/*.npy")):
        logits = np.load(file, allow_pickle=True).item()["msc_seg"]
        found[int(file.parent.name.removeprefix("branch")), file.stem] = logits[0].argmax(0)
    return found


def _read(file: Path) -> Labels:
    with Image.open(file) as picture:
        return np.array(picture)


def differing(folder: Path, chunks: list[str], sides: list[str], student: int) -> Iterator[str]:
    """Yield a line for each pair of sides: the share of differing pixels, without the CRF and after it."""
    first = sides[0]
    for other in sides[1:]:
        shares = []
        for refined in (False, True):
            pixels = wrong = 0
            for chunk in chunks:
                one, two = (_of(side, folder, chunk, refined, student) for side in (first, other))
                for key in one.keys() & two.keys():
                    pixels += one[key].size
                    wrong += int((one[key] != two[key]).sum())
            shares.append(f"{100 * wrong / pixels:.4f} %" if pixels else "–")
        yield f"Pixels whose label differs, {first} and {other}: {shares[0]} without CRF, {shares[1]} after it."


def _of(side: str, folder: Path, chunk: str, refined: bool, student: int) -> dict[tuple[int, str], Labels]:
    if side == "released":
        return released(folder, chunk, student if refined else None)
    return ours(folder, chunk, side, refined)
