"""What Slurm is asked, and what a job's state is while it does not answer."""

import subprocess

from dupl.execute.slurm_queue import GONE, Entry, Queue


class Answers:
    """Answers in turn; an exception is raised."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def __call__(self, command):
        self.asked.append(command)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def queue(*answers):
    now = [0.0]
    answers = Answers(*answers)
    made = Queue(answers, lambda: now[0])
    return made, now, answers


def test_a_job_is_asked_for_at_most_every_few_seconds():
    made, now, answers = queue("7|PENDING|Resources\n8|RUNNING|None\n", "8|COMPLETED|None\n")
    assert made.entry("7") == Entry("PENDING", "Resources") and made.entry("8").live
    assert len(answers.asked) == 1
    now[0] += 5
    assert made.entry("8") == Entry("COMPLETED", "None") and not made.entry("8").live
    assert made.entry("7") is GONE and not GONE.live, "Slurm forgets what ended"


def test_a_job_that_was_just_taken_is_live_before_the_first_answer():
    made, now, _ = queue("")
    made.submitted("9")
    assert made.entry("9").live
    now[0] += 5
    assert made.entry("9") is GONE


def test_while_slurm_is_away_jobs_are_as_they_were():
    away = subprocess.CalledProcessError(1, "squeue", stderr="first\nUnable to contact slurm controller\n")
    made, now, answers = queue("7|RUNNING|None\n", away, away)
    assert made.entry("7").live
    now[0] += 5
    assert made.entry("7").live
    assert made.away == "Unable to contact slurm controller"
    made.cancel("7")
    assert len(answers.asked) == 2, "nothing is cancelled meanwhile: each try would take long"
    now[0] += 20
    made.cancel("7")
    assert answers.asked[-1] == ["scancel", "7"]
