"""``dupl runs --prune`` removes the checkpoints that nothing needs, and says which before."""

from __future__ import annotations

import shutil

import pytest

from dupl.cli import main
from dupl.runs.run import Run
from dupl.runs.store import RunStore

PLAN = '''
"""How sure the noise filter must be; it acts from iteration 6 of 24 on."""

base = {base!r}
seeds = [0]
columns = dict(M=dict(metric="cam/best/mIoU"))
vary = dict(label="gamma", paths=["model.noise_filter.gamma"], values=dict(low=0.3, high=0.8))
'''


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory):
    """A store with a trunk that keeps the checkpoint of iteration 6, and the run that began there."""
    root = tmp_path_factory.mktemp("store")
    plan = root / "late.py"
    plan.write_text(PLAN.format(base=tiny))
    assert main(["ablate", str(plan), "--root", str(root / "runs"), "--jobs", "1"]) == 0
    return root


@pytest.fixture
def store(made, tmp_path):
    return RunStore(shutil.copytree(made / "runs", tmp_path / "runs"))


def trunk_and_fork(store):
    trunk, fork = sorted(store.runs(), key=lambda run: run.status.beginning is not None)
    return trunk, fork


def checkpoints(run):
    return sorted(file.name for file in (run.path / "checkpoints").iterdir())


def prune(store, *options):
    return main(["runs", "--root", str(store.root), "--prune", *options])


def test_a_dry_run_says_which_and_how_much_and_removes_nothing(store, capsys):
    trunk, fork = trunk_and_fork(store)
    before = checkpoints(trunk), checkpoints(fork)
    assert "iter_000006.pth" in before[0]
    assert prune(store, "--dry-run") == 0
    out = capsys.readouterr().out.splitlines()
    line = next(line for line in out if line.startswith(trunk.path.name))
    assert "checkpoints/iter_000006.pth" in line
    size = (trunk.path / "checkpoints" / "iter_000006.pth").stat().st_size
    assert size > 1000
    assert out[-1].endswith("B") and " of 2 runs not needed, " in out[-1]
    assert (checkpoints(trunk), checkpoints(fork)) == before


def test_best_and_last_weights_stay_and_the_rest_goes(store):
    trunk, fork = trunk_and_fork(store)
    assert prune(store, "--yes") == 0
    assert checkpoints(trunk) == checkpoints(fork) == ["best.pth", "iter_000024.pth"]
    assert prune(store, "--dry-run") == 0
    assert main(["eval", str(fork.path), "--protocol", "train", "--checkpoint", "last"]) == 0
    assert main(["eval", str(trunk.path), "--protocol", "train", "--checkpoint", "best"]) == 0


def test_nothing_is_removed_unasked(store, capsys):
    trunk, _ = trunk_and_fork(store)
    before = checkpoints(trunk)
    assert prune(store) == 2
    assert "add --yes where nobody can answer" in capsys.readouterr().err
    assert checkpoints(trunk) == before


def test_what_a_planned_run_would_begin_as_stays(store, capsys):
    trunk, fork = trunk_and_fork(store)
    shutil.rmtree(fork.path)  # its row is still planned
    assert prune(store, "--yes") == 0
    assert "1 planned run would begin" in capsys.readouterr().err
    assert "iter_000006.pth" in checkpoints(trunk)


def test_an_interrupted_run_keeps_two_checkpoints_to_resume_from(store):
    trunk, _ = trunk_and_fork(store)
    Run(trunk.path).update(state="interrupted")
    found = {file.name for file in (trunk.path / "checkpoints").glob("iter_*.pth")}
    assert prune(store, "--yes") == 0
    left = {file.name for file in (trunk.path / "checkpoints").glob("iter_*.pth")}
    assert left == set(sorted(found)[-2:])


def test_a_run_that_a_process_holds_is_left_alone(store, capsys):
    from dupl.lock import hold

    trunk, _ = trunk_and_fork(store)
    before = checkpoints(trunk)
    with hold(trunk.path, lambda _: None):
        assert prune(store, "--yes") == 0
    assert checkpoints(trunk) == before
    assert f"kept: {trunk.path}: " in capsys.readouterr().err


def test_the_fork_points_of_a_search_that_goes_on_stay(store, capsys):
    import optuna

    (store.root / ".sweeps").mkdir(exist_ok=True)
    study = optuna.create_study(storage=f"sqlite:///{store.root}/.sweeps/mine.db", study_name="mine")
    study.enqueue_trial({})
    trunk, _ = trunk_and_fork(store)
    before = checkpoints(trunk)
    assert prune(store, "--yes") == 0
    assert checkpoints(trunk) == before
    assert "which trials of mine may begin as" in capsys.readouterr().err
    study.tell(study.ask().number, state=optuna.trial.TrialState.FAIL)
    assert prune(store, "--yes") == 0
    assert checkpoints(trunk) == ["best.pth", "iter_000024.pth"]


def test_studies_elsewhere_count_while_a_worker_is_at_work(store, capsys):
    from dupl.execute.sweep import hold_trial

    (store.root / ".sweeps").mkdir(exist_ok=True)
    trunk, _ = trunk_and_fork(store)
    before = checkpoints(trunk)
    for number in (3, None):
        with hold_trial(store.root, "theirs", number, 30):
            assert prune(store, "--yes") == 0
        assert checkpoints(trunk) == before
        assert "which trials of theirs may begin as" in capsys.readouterr().err
    assert prune(store, "--dry-run") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "not looked into: studies outside the store (dupl sweep --storage)" in said
    assert "a trial whose checkpoint is gone trains from scratch" in said


@pytest.mark.parametrize("options", [["--rm", "--state", "failed"], ["--json"]])
def test_other_actions_are_refused_beside_it(store, options, capsys):
    assert prune(store, *options) == 2
    assert "choose one" in capsys.readouterr().err
