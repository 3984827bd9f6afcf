"""Optuna's CMA-ES, which executes nothing that a study's storage holds."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dupl.errors import UserError

if TYPE_CHECKING:
    from optuna.samplers import CmaEsSampler

OPTIMIZERS = ("CMA", "CMAwM", "SepCMA")  # of the package cmaes
NUMPY = ("dtype", "ndarray", "scalar", "_reconstruct")
RANDOM = ("__randomstate_ctor", "__bit_generator_ctor", "MT19937")


def cma_es_sampler(**arguments: Any) -> CmaEsSampler:
    """Build the sampler.

    Optuna keeps the state of the optimiser as a pickle in the attributes of trials, and whoever can write to the
    storage could put any other pickle there. Here such a pickle may hold nothing but an optimiser and arrays.

    Args:
        arguments: Of Optuna's sampler.
    """
    from optuna.samplers import CmaEsSampler

    class SafeCmaEsSampler(CmaEsSampler):
        def _restore_optimizer(self, completed_trials: Iterable[Any]) -> Any:
            for trial in reversed(list(completed_trials)):
                parts = {k: v for k, v in trial.system_attrs.items() if k.startswith(self._attr_key_optimizer)}
                if parts:
                    return load_optimizer(bytes.fromhex(self._concat_optimizer_attrs(parts)))
            return None

    return SafeCmaEsSampler(**arguments)


def load_optimizer(data: bytes) -> Any:
    """Unpickle the state of an optimiser.

    Raises:
        UserError: The pickle names anything but an optimiser, arrays and their random numbers, or is none.
    """
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"the study's state of CMA-ES is corrupt ({error}): begin another study") from None


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        package, *_ = module.split(".")
        known = (
            (package == "cmaes" and name in OPTIMIZERS)
            or (module in ("numpy", "numpy._core.multiarray", "numpy.core.multiarray") and name in NUMPY)
            or (module.startswith("numpy.random.") and name in RANDOM)
        )
        if not known:
            raise UserError(
                f"the study's state of CMA-ES names {module}.{name}, which no optimiser has: it was made elsewhere and "
                "is not read; begin another study"
            )
        return super().find_class(module, name)
