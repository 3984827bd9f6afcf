"""Check whether this machine would reproduce a run: its config, code, packages and data, then and now."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.config.fingerprint import config_id, hash_of
from dupl.config.overrides import diff
from dupl.errors import UserError
from dupl.runs import ids, layout, provenance
from dupl.runs.config import read_config
from dupl.runs.run import Run
from dupl.runs.stretches import BITS, Stretch, turns

if TYPE_CHECKING:
    from mmengine.config import Config

PARTS = {"type": "kind", "images": "number of images", "classes": "class names", "names": "names of images"}
PARTS |= {"tags": "tags", "photos": "photos", "masks": "masks"}
MACHINE = {"processor": "processor", "vector": "vector instructions", "threads": "threads"}
TIMING = ("seconds", "memory_GiB")  # scalars that no two runs share


@dataclass(frozen=True)
class Check:
    """One thing that decides whether a run comes out the same.

    Attributes:
        what: Its name.
        same: None where nobody can tell.
        told: What it is, or in what it differs.
        advice: How to make it the same; "" where there is nothing to do.
    """

    what: str
    same: bool | None
    told: str
    advice: str = ""


def checks(
    run: Run, config: Config, data: Mapping[str, Any], here: Mapping[str, Any] | None = None, spread: str = ""
) -> list[Check]:
    """Compare how a run was made with how it would be made here and now.

    Args:
        run: The run.
        config: Its config, with whatever overrides it would be repeated with.
        data: Digests of the data sets that are here now.
        here: What it would be computed on, as fields of `Stretch`, with as many processes; None leaves that out.
        spread: By how much the seeds of the recipe differ, in words.

    Raises:
        UserError: A file of the run is corrupt.
    """
    found = [_config(run, config), *_code(run), *_versions(run)]
    if here is not None:
        found += _machine(run, here, spread)
    if (run.path / layout.DATA).exists():
        return [*found, *differences(run.read_json(layout.DATA), data)]
    return [*found, Check("data", None, f"the run is older than {layout.DATA}: nothing is known of its data")]


def differences(then: Any, now: Mapping[str, Any]) -> list[Check]:
    """Compare the digests of data sets then and now."""
    return list(_data(then if isinstance(then, dict) else {}, now))


def _config(run: Run, config: Config) -> Check:
    recorded, kept = ids.parts(run.status.fingerprint)[0], read_config(run.path)
    if (own := config_id(kept)) != recorded:
        return Check("config", False, f"{layout.CONFIG} is {own}, the run was {recorded}: the file was changed since")
    if config_id(config) != recorded:
        changes = ", ".join(f"{path}: {old!r} -> {new!r}" for path, (old, new) in diff(kept, config).items())
        return Check("config", False, changes)
    return Check("config", True, recorded)


def _code(run: Run) -> Iterator[Check]:
    """Compare the code of a run with this one; where it changed during the run, no code makes the run again."""
    history, now = run.status.history, provenance.code()
    then = history[-1] if history else Stretch(commit=run.status.commit, dirty=run.status.dirty)
    if turned := turns(history):
        yield Check("stretches", False, f"the run was resumed {'; '.join(turned)}: no single code or machine made it")
    yield from _commit(run, then, now)
    if then.package is not None:
        here = provenance.package_digest()
        told = then.package if then.package == here else f"{then.package} then, {here} now"
        yield Check("files of the package", then.package == here, told)


def _commit(run: Run, then: Stretch, now: provenance.Code) -> Iterator[Check]:
    if then.commit is None or now.commit is None:
        lacking = "the run was" if then.commit is None else "this code is"
        yield Check("commit", None, f"{then.commit or 'unknown'}: {lacking} of no checkout; compare dupl-lab below")
        return
    if then.commit == now.commit:
        yield Check("commit", True, then.commit)
    else:
        how = f"git -C {provenance.ROOT} checkout {shlex.quote(then.commit)}"
        yield Check("commit", False, f"{then.commit} then, {now.commit} now", how)
    file = run.path / layout.later_changes(then.changes or "")
    file = file if then.changes and file.is_file() else run.path / layout.CHANGES
    patch = run.changes() if file.name == layout.CHANGES else file.read_text(errors="replace")
    if patch == now.diff:
        yield Check("changes", True, "the same, uncommitted" if patch else "none")
    elif not patch:
        yield Check("changes", False, "none then, some now: git status", "git stash")
    else:
        state = "others now" if now.diff else "none now"
        how = f"git -C {provenance.ROOT} apply {shlex.quote(os.path.abspath(file))}"
        yield Check("changes", False, f"uncommitted ones then, {state}: {file.name} in the run's folder", how)


def _versions(run: Run) -> Iterator[Check]:
    history = run.status.history
    then = (history[-1].versions if history else None) or run.status.versions or {}
    now = provenance.versions()
    if not then:
        yield Check("versions", None, "the run does not say")
    for name in then:
        if then[name] == now.get(name):
            yield Check(name, True, str(then[name]))
        else:
            pinned = shlex.quote(f"{name}=={then[name]}")
            how = "" if name in ("python", "dupl-lab") or not then[name] else f"pip install {pinned}"
            yield Check(name, False, f"{then[name]} then, {now.get(name)} now", how)


def _machine(run: Run, here: Mapping[str, Any], spread: str) -> Iterator[Check]:
    """Compare the machines: kind of processor, vector instructions and threads decide how sums are rounded."""
    history = run.status.history
    then = history[-1] if history else Stretch()
    advice = {"threads": f"--set runtime.threads={then.threads}"}
    for name, what in MACHINE.items():
        before, now = getattr(then, name), here.get(name)
        if before is None and now is None:
            continue
        if before is None or now is None:
            yield Check(what, None, f"{'not recorded' if before is None else before} then, {now or 'none'} now")
        elif before == now:
            yield Check(what, True, str(before))
        else:
            told = f"{before} then, {now} now: {BITS}; {spread}"
            yield Check(what, False, told, advice.get(name, ""))


def _data(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Check]:
    for name in dict.fromkeys([*then, *now]):
        before, after = _known(then.get(name)), _known(now.get(name))
        what = f"data.{name}"
        if "missing" in after:
            yield Check(what, None, after["missing"], f"--set data.{name}.root=DIR where it lies elsewhere")
            continue
        if not before or "missing" in before:
            yield Check(what, None, "nothing is known of it then")
            continue
        other = [f"{label} ({_plain(before, key)} then, {_plain(after, key)} now)" for key, label in PARTS.items()
                 if _differ(before, after, key)]  # fmt: skip
        yield Check(what, not other, "; ".join(other) or f"{after.get('images')} images")


def _known(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _differ(before: Mapping[str, Any], after: Mapping[str, Any], key: str) -> bool:
    """Whether a part differs; version 0.1 recorded a digest of class names, and no content of files."""
    then, now = before.get(key), after.get(key)
    if key == "classes" and isinstance(then, str) and isinstance(now, list):
        return then != hash_of(now)
    return then != now and not ("sizes" in before and key in ("photos", "masks"))


def _plain(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key, "none")
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def command(run: Run, config: Path, out: Path) -> list[str]:
    """Return the command that trains a run again; by torchrun where it was, with as many processes as it had.

    Args:
        run: The run.
        config: Its resolved config.
        out: The folder of the repetition.
    """
    status = run.status
    train = ["dupl", "train", str(config), "--work-dir", str(out)]
    known = next((one.processes for one in reversed(status.history) if one.processes is not None), None)
    if "--launcher" not in status.command and (known or 1) == 1:
        return train
    processes = "PROCESSES" if known is None else str(known)
    return ["torchrun", "--nproc-per-node", processes, "-m", *train, "--launcher", "pytorch"]


def compare(run: Run, other: Run) -> list[Check]:
    """Compare what two runs of one config measured: every scalar, up to the iteration that both reached.

    Raises:
        UserError: A file is corrupt.
    """
    one, two = _values(run), _values(other)
    shared = [place for place in one if place in two and place[1] not in (*TIMING, "iter")]
    if not shared:
        raise UserError(f"{run.path} and {other.path} have no scalars in common: has either begun?")
    apart = [place for place in shared if one[place] != two[place]]
    if not apart:
        return [Check("scalars", True, f"{len(shared)} values up to iteration {max(i for i, _ in shared)}")]
    iteration, key = min(apart)
    first = f"from iteration {iteration} on: {key} {one[iteration, key]} and {two[iteration, key]}"
    found = [Check("scalars", False, f"{len(apart)} of {len(shared)} values, {first}")]
    for key in sorted({k for _, k in shared if k.endswith("/mIoU") and "/best/" in k}):
        last = max(i for i, k in shared if k == key)
        values = one[last, key], two[last, key]
        found.append(Check(f"{key} at {last}", values[0] == values[1], f"{values[0]} and {values[1]}"))
    return found


def _values(run: Run) -> dict[tuple[int, str], Any]:
    return {(int(row.get("iter", 0)), key): value for row in run.scalars() for key, value in row.items()}
