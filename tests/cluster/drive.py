"""A scheduler as a process of its own: ``drive.py JOBS.json KIND OPTIONS``; it prints how each job ended."""

import json
import sys
from dataclasses import replace
from pathlib import Path

from dupl.execute import slurm_queue
from dupl.execute.job import Job
from dupl.execute.scheduler import Rules, Scheduler


def executor(kind: str, root: Path, options: dict):
    if kind == "slurm":
        from dupl.execute.slurm import SlurmExecutor

        slurm_queue.EVERY = 1.0
        return SlurmExecutor(root, jobs=options.pop("jobs", 2), per_run=0, cpus=1, settings=options.pop("settings", {}))
    from dupl.execute.ray import RayExecutor

    return RayExecutor(options.pop("address"), jobs=options.pop("jobs", 2))


if __name__ == "__main__":
    file, kind, options = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    jobs = [Job.of(values) for values in json.loads(file.read_text())]
    place = executor(kind, file.parent, options)
    seen: dict[str, list[str]] = {job.fingerprint: [] for job in jobs}

    def note(progress):
        for p in progress:
            if p.note and p.note not in seen[p.job.fingerprint]:
                seen[p.job.fingerprint].append(p.note)

    scheduler = Scheduler(jobs, place, replace(Rules(poll=0.2, grace=20.0), **options), note)
    print("ready", flush=True)
    why = scheduler.run()
    states = {p.job.fingerprint: [p.state, p.errors, [end.outcome for end in p.ends]] for p in scheduler.progress}
    print(json.dumps({"why": why, "states": states, "notes": seen}))
