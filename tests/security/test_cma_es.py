"""The optimiser state of CMA-ES lies in a study's storage as a pickle, which must execute nothing."""

from __future__ import annotations

import os
import pickle

import optuna
import pytest

from dupl.errors import UserError
from dupl.plans.samplers import make_sampler, quiet_optuna, read_sampler

GOAL = (("seg/best/mIoU", "maximize"),)


class Trap:
    def __reduce__(self):
        return os.system, ("touch ran",)


def objective(trial):
    return -((trial.suggest_float("a", 0, 1) - 0.3) ** 2) - (trial.suggest_float("b", 0, 1) - 0.6) ** 2


def study_of(margin, trials):
    spec = read_sampler({"type": "CMA-ES", "with_margin": margin, "popsize": 4}, GOAL)
    study = optuna.create_study(direction="maximize")
    for number in range(trials):
        study.sampler = make_sampler(spec, number)
        study.optimize(objective, n_trials=1)
    return study, spec


@pytest.mark.parametrize("margin", [True, False])
def test_it_restores_what_optunas_own_sampler_restores(margin):
    with quiet_optuna():
        study, spec = study_of(margin, 12)
        assert any("optimizer" in key for trial in study.trials for key in trial.system_attrs)
        restored = make_sampler(spec, 12)._restore_optimizer(study.trials)
        theirs = optuna.samplers.CmaEsSampler(with_margin=margin, warn_independent_sampling=False)
        known = theirs._restore_optimizer(study.trials)
        assert type(restored) is type(known)
        assert restored.generation == known.generation > 0
        assert restored.mean.tolist() == known.mean.tolist()


def test_a_pickle_of_anything_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with quiet_optuna():
        study, spec = study_of(True, 8)
        key = next(k for trial in study.trials for k in trial.system_attrs if "optimizer" in k)
        trial = study.trials[-1]
        trial.system_attrs[key] = pickle.dumps(Trap()).hex()
        with pytest.raises(UserError, match="names (posix|nt).system, which no optimiser has"):
            make_sampler(spec, 8)._restore_optimizer([trial])
    assert not (tmp_path / "ran").exists()


def test_a_state_that_is_cut_off_is_named():
    from dupl.plans.cma_es import load_optimizer

    with pytest.raises(UserError, match="state of CMA-ES is corrupt"):
        load_optimizer(b"\x80\x04")
