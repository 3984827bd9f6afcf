"""What runs took: hours, devices, memory and an estimate of energy, from what each run recorded of itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dupl.config.translate import Hardware
from dupl.errors import UserError
from dupl.plans.plan import Plan
from dupl.runs.stored_run import StoredRun
from dupl.runs.stretches import Stretch

HOUR = 3600.0
CORE_WATTS = 10.0  # of one busy core of a server, with its share of the machine
BOARD_WATTS = {  # nominal power of a board, by a part of its name
    "H200": 700,
    "H100": 700,
    "A100": 400,
    "V100": 300,
    "L40": 300,
    "A40": 300,
    "A6000": 300,
    "RTX 3090": 350,
    "RTX 4090": 450,
    "T4": 70,
}
METHOD = (
    "Energy is an estimate, not a measurement: GPU hours times the nominal power of the board, and hours of busy CPU "
    f"cores times {CORE_WATTS:g} W; cooling and idle time are left out. A device of unknown power has no estimate."
)


@dataclass(frozen=True)
class Compute:
    """What some runs took together.

    Attributes:
        label: Of the row.
        runs: How many.
        gpu_hours, cpu_hours: Hours of GPUs, and of CPU cores where there was no GPU; training and evaluation.
        iterations: Of training.
        devices: Kinds, each once.
        memory: Largest memory of a GPU that was recorded, GiB; None where none was.
        energy: Estimate in kWh; None where the power of a device is not known.
        lost: Of `runs` those that failed or were stopped.
        lost_hours: Their hours, of GPUs and of CPU cores together.
    """

    label: str
    runs: int
    gpu_hours: float
    cpu_hours: float
    iterations: int
    devices: tuple[str, ...]
    memory: float | None
    energy: float | None
    lost: int
    lost_hours: float


@dataclass(frozen=True)
class ComputeForm:
    """The compute report of a table.

    Attributes:
        title: Of the table.
        rows: One for each row of the plan that is trained.
        total: Of all rows.
        development: Of the store's other runs.
        first, last: When the first of all these runs began, and when the last one ended, in ISO 8601; "" if unknown.
        planned: Number of runs of the table.
        finished: How many of them the store holds finished.
    """

    title: str
    rows: tuple[Compute, ...]
    total: Compute
    development: Compute
    first: str
    last: str
    planned: int
    finished: int


def compute_form(
    plan: Plan, members: Mapping[str, Sequence[str]], stored: Sequence[StoredRun], watts: float | None = None
) -> ComputeForm:
    """Add up what the runs of a table and the other runs of a store took.

    Args:
        plan: Of the table.
        members: Ids of runs by key of the row.
        stored: All runs of the store, also repeated ones.
        watts: Power of a GPU that the user measured; by default the nominal one.

    Raises:
        UserError: ``watts`` is not above 0.
    """
    if watts is not None and not watts > 0:
        raise UserError(f"--watts {watts:g}: give the power of one GPU in watts, above 0")
    maps = {run.fingerprint for run in stored if run.status.iterations == 0}  # label maps of another program
    stored = [run for run in stored if run.fingerprint not in maps]
    used = {name for row in plan.trained for name in members.get(row.key, ())} - maps
    rows = []
    for row in plan.trained:
        names = set(members.get(row.key, ()))
        rows.append(_sum_of(row.label, [run for run in stored if run.fingerprint in names], watts))
    inside = [run for run in stored if run.fingerprint in used]
    others = [run for run in stored if run.fingerprint not in used]
    began = [run.status.started or run.status.created for run in stored]
    ended = [run.status.ended for run in stored if run.status.ended]
    finished = {run.fingerprint for run in inside if run.state == "finished"}
    total, rest = _sum_of("all rows", inside, watts), _sum_of("other runs of the store (development)", others, watts)
    days = min(began, default=""), max(ended, default="")
    return ComputeForm(plan.title, tuple(rows), total, rest, *days, len(used), len(finished))


def _sum_of(label: str, runs: Iterable[StoredRun], watts: float | None) -> Compute:
    """Add up what runs took."""
    found = list(runs)
    parts = [_hours(run) for run in found]
    energies = [_energy(run, *hours, watts) for run, hours in zip(found, parts, strict=True)]
    lost = [run.state in ("failed", "interrupted") for run in found]
    memory = [value for run in found if (value := _memory(run)) is not None]
    devices = [one.processor or one.machine for run in found for one in _own_stretches(run)]
    known = [value for value in energies if value is not None]
    return Compute(
        label,
        len(found),
        sum(gpu for gpu, _ in parts),
        sum(cpu for _, cpu in parts),
        sum(_iterations(run) for run in found),
        tuple(sorted({device for device in devices if device})),
        max(memory, default=None),
        sum(known) if len(known) == len(found) else None,
        sum(lost),
        sum(sum(hours) for hours, out in zip(parts, lost, strict=True) if out),
    )


def _hours(run: StoredRun) -> tuple[float, float]:
    """Return the hours of GPUs, and of CPU cores where a run had no GPU; evaluations as long as they were recorded.

    What a run took over from another one, which trained its beginning, counts in that one alone.
    """
    gpu = cpu = 0.0
    for one in _own_stretches(run):
        processes = one.processes or 1
        if _on_gpu(run):
            gpu += one.seconds * processes
        else:
            cpu += one.seconds * processes * (one.threads or 1)
    begun = run.status.beginning.iteration if run.status.beginning else 0
    own = (one for one in run.evaluations if not (one.trained and (one.iteration or 0) <= begun))
    evaluated = sum(one.seconds or 0.0 for one in own)
    if _on_gpu(run):
        return (gpu + evaluated) / HOUR, 0.0
    return 0.0, (cpu + evaluated) / HOUR


def _own_stretches(run: StoredRun) -> list[Stretch]:
    """Return what computed the iterations that a run did not take over from another one."""
    begun = run.status.beginning.iteration if run.status.beginning else 0
    return [one for one in run.status.history if one.start >= begun]


def _on_gpu(run: StoredRun) -> bool:
    return Hardware.of(run.status.machine).cuda


def _iterations(run: StoredRun) -> int:
    """Return the iterations that a run computed itself."""
    return run.status.iteration - (run.status.beginning.iteration if run.status.beginning else 0)


def _energy(run: StoredRun, gpu: float, cpu: float, watts: float | None) -> float | None:
    """Return the estimate of a run's energy in kWh; None where the power of its GPU is not known."""
    if not gpu:
        return cpu * CORE_WATTS / 1000
    names = {one.processor or one.machine or "" for one in _own_stretches(run)}
    known = [next((power for part, power in BOARD_WATTS.items() if part in name), None) for name in names]
    powers = [watts] if watts is not None else known
    return None if not powers or None in powers else gpu * max(filter(None, powers)) / 1000


def _memory(run: StoredRun) -> float | None:
    """Return the largest memory of the GPU that training recorded, GiB."""
    try:
        values = [row.get("memory_GiB") for row in run.run.scalars()]
    except (UserError, OSError):
        return None
    return max((float(value) for value in values if isinstance(value, (int, float))), default=None)
