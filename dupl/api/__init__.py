"""The public functions. The command line and the notebooks call these and nothing below them.

Nothing heavy is imported before a function needs it. What most people need is also in `dupl` itself.
"""

from dupl.api import figures
from dupl.api.analysis import (
    class_measure,
    course,
    find_run,
    folder_measure,
    image_measure,
    over_activation,
    plan_runs,
    read_run,
    start_marks,
)
from dupl.api.inference import evaluate, predict, predict_folder, submit_voc
from dupl.api.recipes import build_model, fingerprint, list_recipes, load_recipe, override_values, recipe_values
from dupl.api.sweeps import is_sweep, load_sweep, sweep_report
from dupl.api.tables import (
    ablation_table,
    load_plan,
    open_store,
    put_table_on_wandb,
    table_folder,
    write_run_page,
)
from dupl.api.training import default_folder, demo, train

__all__ = [
    "ablation_table",
    "build_model",
    "class_measure",
    "course",
    "default_folder",
    "demo",
    "evaluate",
    "figures",
    "find_run",
    "fingerprint",
    "folder_measure",
    "image_measure",
    "is_sweep",
    "list_recipes",
    "load_plan",
    "load_recipe",
    "load_sweep",
    "open_store",
    "over_activation",
    "override_values",
    "plan_runs",
    "predict",
    "predict_folder",
    "put_table_on_wandb",
    "read_run",
    "recipe_values",
    "start_marks",
    "submit_voc",
    "sweep_report",
    "table_folder",
    "train",
    "write_run_page",
]
