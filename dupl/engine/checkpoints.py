"""Checkpoint files: written completely or not at all, and loaded without executing code."""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path, PosixPath
from typing import Any

import torch

from dupl.errors import UserError
from dupl.runs import layout


def load(file: Path) -> dict[str, Any]:
    """Load a checkpoint on the CPU without executing anything in the file.

    The command line's values that CoSA's release stores beside its weights are read as plain values.

    Raises:
        UserError: The file is missing or corrupt, or holds more than tensors and plain values.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace, PosixPath]):
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint {file}") from None
    except Exception as error:
        raise UserError(f"{file} cannot be loaded: {_reason(file, error)}") from error
    if not isinstance(checkpoint, dict):
        raise UserError(f"{file} is not a checkpoint: it holds a {type(checkpoint).__name__}")
    return checkpoint


def _reason(file: Path, error: Exception) -> str:
    """Return the reason why a file does not load."""
    if file.is_dir():
        return "it is a folder"
    with open(file, "rb") as data:
        head = data.read(2)
    if head not in (b"PK", b"\x80\x02"):  # zip archives, and pickles of old versions
        return "torch.save did not write it" if head else "it is empty; use an earlier one"
    if isinstance(error, pickle.UnpicklingError):
        return "it holds more than tensors and plain values, which is not executed"
    return f"{' '.join(str(error).split())[:120]}; use an earlier one"


def meta_of(file: Path) -> dict[str, Any]:
    """Return what a checkpoint says of itself, without reading its weights; empty where it says nothing."""
    try:
        meta = torch.load(file, map_location="cpu", weights_only=True, mmap=True)["meta"]
    except Exception:
        return {}
    return meta if isinstance(meta, dict) else {}


def iteration_of(file: Path) -> int | None:
    """Return the iteration of the weights in a checkpoint; None where it is not recorded."""
    try:
        return int(meta_of(file)["iter"])
    except (KeyError, TypeError, ValueError):
        return None


def newest_valid(run: Path) -> tuple[Path | None, list[str]]:
    """Return the newest checkpoint that loads, and a line for each newer one that does not."""
    skipped: list[str] = []
    for _, file in layout.checkpoints(run):
        try:
            load(file)
            return file, skipped
        except UserError as error:
            skipped.append(str(error))
    return None, skipped
