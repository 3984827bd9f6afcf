"""DuPL Lab: dual-student weakly supervised segmentation, with its experiments.

The names below are imported when they are first used; ``import dupl`` alone imports neither torch nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dupl.version import __version__ as __version__

if TYPE_CHECKING:
    from dupl import api
    from dupl.api import (
        DuPL,
        Plan,
        Prediction,
        RunStore,
        Sweep,
        ablate,
        ablation_table,
        build_model,
        checklist,
        class_measure,
        compute_form,
        course,
        detector_rates,
        evaluate,
        evaluate_label_maps,
        explain_runs,
        export_evidence,
        figures,
        find_run,
        fingerprint,
        folder_measure,
        forecast_power,
        image_measure,
        last_gallery,
        list_recipes,
        load_plan,
        load_recipe,
        load_sweep,
        misled_students,
        over_activation,
        plan_runs,
        predict,
        predict_folder,
        read_run,
        start_marks,
        submit_voc,
        sweep_report,
        train,
        two_runs,
        verify_evidence,
        write_comparison,
        write_run_page,
    )
    from dupl.errors import RunError, UserError

__all__ = [
    "DuPL",
    "Plan",
    "Prediction",
    "RunError",
    "RunStore",
    "Sweep",
    "UserError",
    "ablate",
    "ablation_table",
    "api",
    "build_model",
    "checklist",
    "class_measure",
    "compute_form",
    "course",
    "detector_rates",
    "evaluate",
    "evaluate_label_maps",
    "explain_runs",
    "export_evidence",
    "figures",
    "find_run",
    "fingerprint",
    "folder_measure",
    "forecast_power",
    "image_measure",
    "last_gallery",
    "list_recipes",
    "load_plan",
    "load_recipe",
    "load_sweep",
    "misled_students",
    "over_activation",
    "plan_runs",
    "predict",
    "predict_folder",
    "read_run",
    "start_marks",
    "submit_voc",
    "sweep_report",
    "train",
    "two_runs",
    "verify_evidence",
    "write_comparison",
    "write_run_page",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'dupl' has no attribute {name!r}")
    if name == "api":
        return import_module("dupl.api")
    return getattr(import_module("dupl.errors" if name.endswith("Error") else "dupl.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
