"""Plans of thousands of rows take time in proportion to their number."""

import time

import pytest

from dupl import api
from dupl.errors import UserError
from dupl.plans.plan import load
from dupl.report.plan_report import tabulate
from dupl.runs.store import RunStore


def plan_of(folder, rows):
    values = ", ".join(str(round(0.3 + i * 1e-5, 5)) for i in range(rows))
    file = folder / f"many{rows}.py"
    file.write_text(
        'base = "demo/toy"\ncolumns = dict(Seg=dict(metric="seg/best/mIoU"))\n'
        f'vary = dict(paths=["model.threshold.final"], values=[{values}])\n'
    )
    return file


def seconds(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def preview(file, root):
    return api.preview_ablation(api.prepare_ablation(file, root, dry_run=True))


def report(file, root):
    plan = load(file)
    return tabulate(plan, plan.expand(), RunStore(root), "").render("md")


@pytest.mark.parametrize("work", [preview, report])
def test_three_thousand_runs_are_handled_in_seconds(tmp_path, work):
    file = plan_of(tmp_path, 3000)
    assert seconds(lambda: work(file, tmp_path / "runs")) < 10


def test_twins_far_apart_are_found(tmp_path):
    values = ", ".join(f"v{i}={round(0.3 + i * 1e-5, 5)}" for i in range(400))
    file = plan_of(tmp_path, 1)
    text = file.read_text()
    file.write_text(text.replace("values=[0.3]", f"values=dict({values}, last=0.3)"))
    with pytest.raises(UserError, match=r"rows v0.* and last are the same run"):
        load(file)
