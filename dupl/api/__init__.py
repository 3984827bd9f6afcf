"""The public functions and classes. The command line and the notebooks use these and nothing below them.

Nothing heavy is imported before a function needs it. What most people need is also in `dupl` itself.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dupl.api import figures
from dupl.api.analysis import (
    class_measure,
    course,
    detector_rates,
    find_run,
    folder_measure,
    image_measure,
    last_gallery,
    misled_students,
    over_activation,
    plan_runs,
    read_run,
    start_marks,
    two_runs,
)
from dupl.api.comparison import evaluate_label_maps, write_comparison
from dupl.api.describe import Description, SwitchState, components, describe, describe_schema, describe_search
from dupl.api.evidence import checklist, compute_form, compute_text, export_evidence, verify_evidence
from dupl.api.execution import (
    ablate,
    confirm_sweep,
    open_search,
    prepare_ablation,
    preview_ablation,
    preview_facts,
    preview_search,
    put_finished_table,
    search_facts,
)
from dupl.api.explanation import explain_runs, settling_plan, write_settling_plan
from dupl.api.inference import (
    evaluate,
    evaluation_tracking,
    is_run,
    log_evaluations,
    mask_page,
    predict,
    predict_folder,
    print_evaluation,
    submit_voc,
    write_pseudo_labels,
)
from dupl.api.machine import check_data, diagnose, prepare_data, prepare_weights
from dupl.api.new_recipe import is_photo_folder, new_recipe, photo_recipe, write_tag_table
from dupl.api.paper_figures import paper_figures, write_paper_figure
from dupl.api.power import forecast_power, power_source, preview_power, seeds_in_words, write_power_chart
from dupl.api.recipes import (
    build_model,
    check_wandb,
    fingerprint,
    list_recipes,
    load_recipe,
    override_values,
    recipe_values,
    train_overrides,
)
from dupl.api.store import (
    compare_run,
    last_seen,
    list_runs,
    newest_run,
    on_other_data,
    planned_rows,
    remove_checkpoints,
    reproduce_command,
    reproduce_run,
    run_facts,
    run_line,
    run_metric,
    run_states,
    run_status,
    run_stretches,
    select_runs,
    superfluous_checkpoints,
)
from dupl.api.sweeps import is_plan, is_sweep, load_sweep, sweep_report
from dupl.api.tables import (
    ablate_command,
    ablation_table,
    load_plan,
    open_store,
    put_table_on_wandb,
    table_folder,
    write_run_page,
    write_text,
)
from dupl.api.tracking import find_uploads, serve_board, upload, wandb_account, workspace, write_board
from dupl.api.training import default_folder, demo, train

if TYPE_CHECKING:
    from dupl.engine.predict import Prediction
    from dupl.execute.ablation import Ablation, Outcome
    from dupl.execute.progress import Progress
    from dupl.execute.resources import Resources
    from dupl.execute.scheduler import Rules
    from dupl.execute.search import Search
    from dupl.execute.time_remaining import TimeRemaining
    from dupl.method.dupl import DuPL
    from dupl.plans.plan import Plan
    from dupl.plans.sweep import Sweep
    from dupl.report.explain import Difference, Explanation
    from dupl.report.explain_plan import SettlingPlan
    from dupl.report.plan_report import AblationTable
    from dupl.report.power_forecast import ColumnForecast
    from dupl.report.sweep_report import SweepFindings
    from dupl.runs.listing import RunLine
    from dupl.runs.reproduce import Check
    from dupl.runs.status import Status
    from dupl.runs.store import RunStore
    from dupl.runs.stored_run import StoredRun

CLASSES = {  # imported when they are first used
    "Ablation": "dupl.execute.ablation",
    "AblationTable": "dupl.report.plan_report",
    "ColumnForecast": "dupl.report.power_forecast",
    "Difference": "dupl.report.explain",
    "Explanation": "dupl.report.explain",
    "SettlingPlan": "dupl.report.explain_plan",
    "Check": "dupl.runs.reproduce",
    "DuPL": "dupl.method.dupl",
    "TimeRemaining": "dupl.execute.time_remaining",
    "Outcome": "dupl.execute.ablation",
    "Resources": "dupl.execute.resources",
    "Plan": "dupl.plans.plan",
    "Prediction": "dupl.engine.predict",
    "Progress": "dupl.execute.progress",
    "Rules": "dupl.execute.scheduler",
    "RunLine": "dupl.runs.listing",
    "RunStore": "dupl.runs.store",
    "Search": "dupl.execute.search",
    "StoredRun": "dupl.runs.stored_run",
    "Status": "dupl.runs.status",
    "Sweep": "dupl.plans.sweep",
    "SweepFindings": "dupl.report.sweep_report",
}

__all__ = [
    "Status",
    "describe_schema",
    "describe_search",
    "describe",
    "components",
    "Description",
    "SwitchState",
    "Ablation",
    "AblationTable",
    "Check",
    "ColumnForecast",
    "Difference",
    "Explanation",
    "SettlingPlan",
    "explain_runs",
    "settling_plan",
    "write_settling_plan",
    "forecast_power",
    "power_source",
    "preview_power",
    "seeds_in_words",
    "write_power_chart",
    "DuPL",
    "TimeRemaining",
    "Outcome",
    "Resources",
    "Plan",
    "Prediction",
    "Progress",
    "Rules",
    "RunLine",
    "RunStore",
    "Search",
    "StoredRun",
    "Sweep",
    "SweepFindings",
    "ablate",
    "ablate_command",
    "ablation_table",
    "build_model",
    "check_data",
    "check_wandb",
    "checklist",
    "class_measure",
    "compare_run",
    "compute_form",
    "compute_text",
    "confirm_sweep",
    "course",
    "default_folder",
    "demo",
    "detector_rates",
    "diagnose",
    "evaluate",
    "evaluate_label_maps",
    "evaluation_tracking",
    "export_evidence",
    "figures",
    "find_run",
    "find_uploads",
    "fingerprint",
    "folder_measure",
    "image_measure",
    "is_run",
    "last_gallery",
    "is_photo_folder",
    "is_plan",
    "is_sweep",
    "last_seen",
    "list_recipes",
    "load_plan",
    "load_recipe",
    "load_sweep",
    "log_evaluations",
    "mask_page",
    "misled_students",
    "open_search",
    "open_store",
    "over_activation",
    "new_recipe",
    "newest_run",
    "override_values",
    "paper_figures",
    "photo_recipe",
    "plan_runs",
    "predict",
    "predict_folder",
    "prepare_ablation",
    "prepare_data",
    "prepare_weights",
    "preview_ablation",
    "preview_facts",
    "preview_search",
    "search_facts",
    "print_evaluation",
    "put_finished_table",
    "put_table_on_wandb",
    "read_run",
    "recipe_values",
    "reproduce_command",
    "reproduce_run",
    "list_runs",
    "on_other_data",
    "planned_rows",
    "run_facts",
    "run_line",
    "run_metric",
    "remove_checkpoints",
    "run_states",
    "superfluous_checkpoints",
    "run_status",
    "run_stretches",
    "select_runs",
    "serve_board",
    "start_marks",
    "submit_voc",
    "sweep_report",
    "table_folder",
    "train",
    "train_overrides",
    "two_runs",
    "upload",
    "verify_evidence",
    "wandb_account",
    "workspace",
    "write_board",
    "write_paper_figure",
    "write_pseudo_labels",
    "write_comparison",
    "write_run_page",
    "write_tag_table",
    "write_text",
]


def __getattr__(name: str) -> Any:
    if name not in CLASSES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(CLASSES[name]), name)
