"""A sweep as a process of its own: ``drive.py SWEEP URL ROOT COUNT JOBS``; its trainings are toys."""

import sys
from pathlib import Path

from dupl.lab.execute import job
from dupl.lab.execute.local import LocalExecutor
from dupl.lab.execute.schedule import Rules
from dupl.lab.sweep import load
from dupl.lab.sweep_run import carry_out, prepare
from dupl.lab.sweep_study import open_storage, open_study

TOY = Path(__file__).with_name("toy.py")


def toy_command(config: Path, processes: int = 1) -> tuple[str, ...]:
    return (sys.executable, str(TOY), str(config), "{folder}")


def search(file, url, root, count, jobs=1, tell=lambda _: None, ttl=2.0, **rules):
    """The study, after all of it; and why it ended."""
    job.train_command = toy_command
    sweep, storage = load(file), open_storage(url)
    study = open_study(sweep, storage, create=True)
    prepare(sweep, study, root, count, ttl)
    rules = Rules(**{"poll": 0.05, "grace": 20.0, "ttl": ttl, "retries": 0, **rules})
    return study, carry_out(sweep, storage, root, [LocalExecutor(1) for _ in range(jobs)], rules, tell)


if __name__ == "__main__":
    file, url, root, count, jobs = sys.argv[1:]
    print("ready", flush=True)
    _, why = search(file, url, root, int(count), int(jobs), lambda news: print(news.number, news.what, flush=True))
    print("end", why)
