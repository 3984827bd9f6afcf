"""The process behind a `Tracker`: read records from stdin, write them to wandb or trackio, print failures as lines."""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from dupl.track.leftovers import remove_copies, remove_links, staged
from dupl.track.position import read_position, write_position
from dupl.track.records import TrackedTable
from dupl.track.sync import COMPLETE
from dupl.track.wandb_like import TRACKIO, WandbLike, begin_trackio, of_mode

LEFT = 60.0  # seconds for uploading what is left at the end


def main() -> None:
    """Serve one run; stdout is for the `Tracker` alone, and all other output goes to stderr, a log file."""
    says = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        serve(sys.stdin.buffer, lambda text: print(" ".join(text.split()), file=says))
    except BaseException as error:
        traceback.print_exc()
        print(f"{type(error).__name__}: {error}", file=says)


def records(stream: BinaryIO) -> Iterator[tuple[str, Any]]:
    """Yield the records of a stream until its end, which may come within a record where training was killed."""
    while True:
        try:
            yield pickle.load(stream)
        except (EOFError, pickle.UnpicklingError):
            return


def serve(stream: BinaryIO, say: Callable[[str], None]) -> None:
    """Write the records of a stream; one that cannot be written is reported and skipped.

    A stream that ends without the record "end" is that of a training that was killed.
    """
    incoming = records(stream)
    _, settings = next(incoming)
    place = Path(str(settings.get("dir", ".")))
    tracker = of_mode(str(settings.get("mode")))
    position = read_position(place, int(settings.pop("reached", 0)), tracker.name)
    run = start(settings, say)
    exit_code = 1
    for kind, value in incoming:
        if kind == "end":
            exit_code = value
            break
        try:
            if kind in ("log", "iteration"):
                position = replace(position, step=position.step + 1)
                write_position(place, position, tracker.name)
                write(run, kind, value, position.step, tracker)
                if kind == "iteration":
                    position = replace(position, iteration=int(value["iter"]))
                    write_position(place, position, tracker.name)
            else:
                write(run, kind, value, max(0, position.step), tracker)
        except Exception as error:
            traceback.print_exc()
            say(f"{type(error).__name__}: {error}")
    if tracker is TRACKIO:
        run.finish()
        return
    try:
        run.finish(exit_code=exit_code)
    except TimeoutError:
        say("the upload did not end: dupl sync uploads the rest")
        return
    remove_links(run)
    if not run.offline:
        Path(run.dir).parent.joinpath(COMPLETE).touch()


def start(settings: dict[str, Any], say: Callable[[str], None]) -> Any:
    """Begin the run on the tracker, or resume it; on wandb offline where online fails."""
    if settings["mode"] == TRACKIO.name:
        return begin_trackio(settings)
    import wandb

    parent = os.getppid()
    files, code, mode = settings.pop("files", ()), settings.pop("code", None), settings.pop("mode")
    commit = settings.pop("commit", None)

    def begin(mode: Any) -> Any:
        options = wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,  # it would look at the current folder, which need not be the code's
            git_commit=commit,
            program="dupl",
            finish_timeout=LEFT,
            finish_timeout_raises=True,
            init_timeout=LEFT,
            x_stats_pid=parent,
        )
        return wandb.init(**settings, mode=mode, resume="allow", settings=options)

    before = _stretches(settings)
    try:
        run = begin(mode)
    except Exception as error:
        if mode != "online":
            raise
        traceback.print_exc()
        say(f"no connection, offline instead ({type(error).__name__}): dupl sync uploads it")
        for empty in _stretches(settings) - before:
            (empty / COMPLETE).touch()  # there is nothing in it to upload
        run = begin("offline")
    run.define_metric("iter", hidden=True)
    run.define_metric("*", step_metric="iter")
    try:
        for file in files:
            if Path(file).is_file():
                run.save(file, base_path=str(Path(file).parent), policy="now")
        if code is not None:
            run.log_code(code)
    except Exception as error:  # the rows matter more
        traceback.print_exc()
        say(f"{type(error).__name__}: {error}")
    return run


def _stretches(settings: dict[str, Any]) -> set[Path]:
    """Return the folders of what was recorded online of this run."""
    return set(Path(settings.get("dir", "."), "wandb").glob(f"run-*-{settings.get('id')}"))


def write(run: Any, kind: str, value: Any, step: int, tracker: WandbLike) -> None:
    """Write one record; a row under its step."""
    if kind in ("log", "iteration"):
        row = {name: tracker.dressed(item) for name, item in value.items()}
        tables = [row[name] for name, item in value.items() if isinstance(item, TrackedTable)]
        before = staged(run) if tracker is not TRACKIO else set()
        run.log(row, step=step)
        if tracker is not TRACKIO:
            remove_copies(run, tables, before)
    elif kind == "summary":
        if tracker.summaries:
            run.summary.update(value)
        else:
            run.log(dict(value), step=step)
    elif kind == "keep":
        run.log_artifact(tracker.artifact(value), aliases=list(value.aliases) or None)
    else:
        raise ValueError(f"there is no record {kind!r}")
