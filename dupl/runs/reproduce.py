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

if TYPE_CHECKING:
    from mmengine.config import Config

PARTS = {"type": "kind", "images": "number of images", "classes": "class names", "names": "names of images"}
PARTS |= {"tags": "tags", "photos": "photos", "masks": "masks"}
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


def checks(run: Run, config: Config, data: Mapping[str, Any]) -> list[Check]:
    """Compare how a run was made with how it would be made here and now.

    Args:
        run: The run.
        config: Its config, with whatever overrides it would be repeated with.
        data: Digests of the data sets that are here now.

    Raises:
        UserError: A file of the run is corrupt.
    """
    found = [_config(run, config), *_code(run), *_versions(run)]
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


def _code(run: Run) -> list[Check]:
    status, now = run.status, provenance.code()
    if status.commit is None or now.commit is None:
        lacking = "the run was" if status.commit is None else "this code is"
        return [
            Check("commit", None, f"{status.commit or 'unknown'}: {lacking} of no checkout; compare dupl-lab below")
        ]
    found = [Check("commit", True, status.commit)]
    if status.commit != now.commit:
        how = f"git -C {provenance.ROOT} checkout {shlex.quote(status.commit)}"
        found = [Check("commit", False, f"{status.commit} then, {now.commit} now", how)]
    then = run.changes()
    if then == now.diff:
        return [*found, Check("changes", True, "the same, uncommitted" if then else "none")]
    if not then:
        return [*found, Check("changes", False, "none then, some now: git status", "git stash")]
    state = "others now" if now.diff else "none now"
    how = f"git -C {provenance.ROOT} apply {shlex.quote(os.path.abspath(run.path / layout.CHANGES))}"
    return [
        *found,
        Check("changes", False, f"uncommitted ones then, {state}: {layout.CHANGES} in the run's folder", how),
    ]


def _versions(run: Run) -> Iterator[Check]:
    then = run.status.versions or {}
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
    if "--launcher" not in status.command:
        return train
    count, _, device = (status.machine or "").partition(" x ")
    processes = count if count.isdecimal() and not device.startswith("core of") else "PROCESSES"
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
