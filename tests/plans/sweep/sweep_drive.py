"""A sweep as a process of its own: ``sweep_drive.py SWEEP URL ROOT COUNT JOBS``; its trainings are toys."""

import sys
import threading
from pathlib import Path

from dupl.execute import job
from dupl.execute.local import LocalExecutor
from dupl.execute.order import End
from dupl.execute.scheduler import Rules
from dupl.execute.sweep import carry_out, prepare
from dupl.execute.worker import work
from dupl.plans.study import open_storage, open_study
from dupl.plans.sweep import load

TOY = Path(__file__).with_name("toy.py")


def toy_command(config: Path, processes: int = 1) -> tuple[str, ...]:
    return (sys.executable, str(TOY), str(config), "{folder}")


class Threads:
    """An executor whose workers are threads, which start at once."""

    slots, queues, gpus = 1, False, 0

    def submit(self, job, order):
        return Handle(job, order)

    def close(self):
        pass


class Handle:
    def __init__(self, job, order):
        self.answer = End("failed", "its worker broke")
        self.thread = threading.Thread(target=self.work, args=(job, order), daemon=True)
        self.thread.start()

    def work(self, job, order):
        self.answer = work(job, order)

    def waits_for(self):
        return ""

    def ended(self):
        return not self.thread.is_alive()

    def end(self):
        return self.answer

    def kill(self):
        self.thread.join()


def search(file, url, root, count, jobs=1, tell=lambda _: None, place=lambda: LocalExecutor(1), ttl=2.0, **rules):
    """The study, after all of it; and why it ended."""
    sweep, storage = load(file, schema=None), open_storage(url)
    study = open_study(sweep, storage, create=True)
    prepare(sweep, study, root, count, ttl)
    rules = Rules(**{"poll": 0.03, "grace": 20.0, "ttl": ttl, "retries": 0, **rules})
    return study, carry_out(sweep, storage, root, [place() for _ in range(jobs)], rules, tell)


if __name__ == "__main__":
    job.train_command = toy_command
    file, url, root, count, jobs = sys.argv[1:]
    _, why = search(file, url, root, int(count), int(jobs), lambda news: print(news.number, news.what, flush=True))
    print("end", why)
