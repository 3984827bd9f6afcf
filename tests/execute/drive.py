"""A scheduler as a process of its own: ``drive.py JOBS.json KIND``; it prints how each job ended."""

import json
import sys
from dataclasses import replace
from pathlib import Path

from dupl.execute.job import Job
from dupl.execute.scheduler import Rules, Scheduler


def executor(kind: str, root: Path):
    if kind == "ray":
        from dupl.execute.ray import RayExecutor

        return RayExecutor(jobs=2)
    if kind == "slurm":
        from dupl.execute.slurm import SlurmExecutor

        return SlurmExecutor(root, jobs=2, per_run=0, cpus=1, cluster="local")
    from dupl.execute.local import LocalExecutor

    return LocalExecutor(jobs=2)


if __name__ == "__main__":
    file, kind = Path(sys.argv[1]), sys.argv[2]
    jobs = [Job.of(values) for values in json.loads(file.read_text())]
    rules = replace(Rules(poll=0.1, grace=20.0), **json.loads(sys.argv[3] if len(sys.argv) > 3 else "{}"))
    scheduler = Scheduler(jobs, executor(kind, file.parent), rules)
    print("ready", flush=True)
    why = scheduler.run()
    states = {
        p.job.fingerprint: [p.state, p.begun, p.errors, [end.outcome for end in p.ends]] for p in scheduler.progress
    }
    print(json.dumps({"why": why, "states": states}))
