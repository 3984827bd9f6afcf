"""Begin a run as the checkpoint of another one that trains the same first iterations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from rich.console import Console

from dupl.atomic import draft
from dupl.checksum import file_sha256
from dupl.config.prefix import beginnings, common
from dupl.engine.checkpoints import load
from dupl.errors import UserError
from dupl.runs import ids, layout, provenance
from dupl.runs.beginning import Beginning
from dupl.runs.best_weights import BestWeights, record_best
from dupl.runs.config import read_config_values
from dupl.runs.copied import copy_records, usable_checkpoints
from dupl.runs.run import Run
from dupl.runs.seeds import spread_of_seeds
from dupl.runs.status import Status
from dupl.runs.stretches import BITS, CODE, Stretch, changed, in_words


def begin_as(run: Run, config: Config, source: Path, hardware: Mapping[str, Any], console: Console) -> None:
    """Let a run that has trained nothing continue from another run's checkpoint, as far as both train alike.

    The run is then as if it had been interrupted there. Where the other run cannot be used, a line says why.

    Args:
        run: The run.
        config: Its resolved recipe.
        source: Folder of the other run.
        hardware: What this process computes on, see `dupl.engine.device.hardware`, and the digest of the recipe's
            modules.
        console: Console for messages.
    """
    if layout.checkpoints(run.path):
        return
    say, here = _line(console), provenance.stretch(provenance.code(), hardware)
    try:
        status, alike = _compare(run, config, source, here)
        found = usable_checkpoints(source, alike)
        if not found:
            raise UserError(f"it has no checkpoint of the first {alike} iterations, which both train alike")
        beginning = _take_over(run, source, status, found, here, say)
    except (UserError, OSError) as error:
        say(f"cannot begin as {source}: {error}; starting from scratch")
        return
    note = f" ({beginning.note})" if beginning.note else ""
    if note:
        note += f"; {BITS} of a run from scratch; {spread_of_seeds(source, config.evaluation.best)}"
    say(f"begins as iteration {beginning.iteration} of {source.name}, which trains the same until there{note}")


def _compare(run: Run, config: Config, source: Path, here: Stretch) -> tuple[Status, int]:
    """Return the status of the other run, and how many iterations both train alike.

    Raises:
        UserError: It cannot be read, or was trained on other data or by other code.
    """
    other = Run(source)
    if not other.exists():
        raise UserError("there is no run")
    status = other.status
    if ids.parts(status.fingerprint)[1] != ids.parts(run.status.fingerprint)[1]:
        raise UserError("it was trained on other data")
    alike = common(beginnings(config), beginnings(read_config_values(source)))
    if not alike:
        raise UserError("it trains differently from the first iteration on")
    for one in _until(status, alike):
        if _of_other_code(one, here):
            raise UserError("it was trained by another version of the code")
    return status, alike


def _until(status: Status, iteration: int) -> list[Stretch]:
    """Return the stretches of a run that lie before an iteration."""
    return [replace(one, end=min(one.end, iteration)) for one in status.history if one.start < iteration]


def _of_other_code(one: Stretch, here: Stretch) -> bool:
    """Return whether other files of the package or of a recipe's modules computed a stretch.

    Where the files of the package are not known, the commit decides.
    """
    if one.modules != here.modules:
        return True
    if one.package is not None and here.package is not None:
        return one.package != here.package
    return (one.commit, one.changes) != (here.commit, here.changes)


def _take_over(
    run: Run, source: Path, status: Status, found: list[tuple[int, Path]], here: Stretch, say: Any
) -> Beginning:
    """Copy the newest checkpoint that loads, and what was written until then.

    Raises:
        UserError: None of them loads.
    """
    reason = ""
    for iteration, file in found:
        try:
            saved = load(file)
        except UserError as error:
            say(f"skipped: {error}")
            reason = str(error)
            continue
        then = json.loads(saved["meta"]["status"])
        seconds = float(then["seconds"]) + float((then.get("beginning") or {}).get("seconds", 0.0))
        before = _until(status, iteration)
        note = _rounding(before, here)
        beginning = Beginning(status.fingerprint, source.name, iteration, file_sha256(file), seconds, note)
        copy_records(source, run, iteration)
        _copy_best(run, source, iteration)
        inherited = [replace(one, seconds=0.0) for one in before]  # their time counts in the other run
        run.update(iteration=iteration, beginning=beginning, stretches=inherited)
        renamed = json.dumps({**asdict(run.status), "iteration": iteration})
        saved["meta"] |= {"fingerprint": run.status.fingerprint, "status": renamed, "scalars": run.scalars_text()}
        _save(saved, run.path / layout.checkpoint(iteration))
        return beginning
    raise UserError(reason)


def _copy_best(run: Run, source: Path, iteration: int) -> None:
    """Copy the best weights up to an iteration, with their record.

    Where they are gone, the run keeps none until a better evaluation.
    """
    for file in (source / layout.best_until(iteration), source / layout.BEST):
        if not file.is_file():
            continue
        saved = load(file)
        if saved["meta"]["iter"] <= iteration:
            saved["meta"]["fingerprint"] = run.status.fingerprint
            _save(saved, run.path / layout.BEST)
            if metric := next((name for name in saved["meta"] if "/" in name), None):
                best = BestWeights(saved["meta"]["iter"], metric, float(saved["meta"][metric]))
                record_best(run.path, best)
            return


def _save(checkpoint: Mapping[str, Any], file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    with draft(file) as part:
        torch.save(dict(checkpoint), part)


def _rounding(before: Sequence[Stretch], here: Stretch) -> str:
    """Return why training here may round otherwise than the other run did; "" where nothing says so."""
    other = {name: pair for one in before for name, pair in changed(one, here).items() if name not in CODE}
    return f"equal up to rounding: {in_words(other)}" if other else ""


def _line(console: Console) -> Any:
    return lambda text: console.print(text, soft_wrap=True, markup=False, highlight=False)
