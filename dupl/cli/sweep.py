"""``dupl sweep``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.cli.common import GPUS_PER_RUN, command, progress_bar, recipe_options, stderr
from dupl.errors import RunError, UserError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

    from dupl.execute.executor import Executor
    from dupl.execute.trial import News
    from dupl.plans.sweep import Sweep


def add_sweep(commands: Any) -> None:
    """Declare ``dupl sweep``."""
    parser = command(
        commands,
        "sweep",
        run_sweep,
        "search for hyper-parameters: trials are runs of the store, the poor ones stopped early",
        "  dupl sweep demo --dry-run                              what is searched, by which goal, on which data\n"
        "  dupl sweep demo --trials 20 --jobs 2\n"
        "  dupl sweep demo --continue                             after Ctrl-C, or from one more machine\n"
        "  dupl sweep dta_anf --gpus 0 1 2 3 --storage postgresql://user@host/sweeps\n"
        "  dupl sweep dta_anf --storage journal:/shared/sweep.log --continue\n"
        "  dupl sweep dta_anf --set data.train.root=DIR data.val.root=DIR\n"
        "  dupl sweep demo --confirm 3 --seeds 0 1 2    the best points and the paper's, on the report split\n",
    )
    parser.add_argument("sweep", help="a sweep of sweeps/, or a file")
    parser.add_argument("--trials", type=int, metavar="N", help="in all; as the file says by default")
    parser.add_argument("--storage", metavar="URL", help=f"of the study; SQLite in the store by default. {STORAGES}")
    parser.add_argument("--continue", dest="go_on", action="store_true", help="go on with a study, or join it")
    parser.add_argument("--root", type=Path, default=Path("runs"), help="the store; runs by default")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done; do nothing")
    recipe_options(parser)
    confirm = parser.add_argument_group("in the end, once")
    confirm.add_argument(
        "--confirm", type=int, metavar="K", help="train the best K points and the paper's, judged on the report split"
    )
    confirm.add_argument("--seeds", nargs="+", type=int, metavar="N", help="of the confirmation; 0 1 2 by default")
    place = parser.add_argument_group("where")
    place.add_argument("--jobs", type=int, metavar="N", help="runs at once; one per GPU (group) or machine by default")
    place.add_argument("--gpus", nargs="+", metavar="ID", help="which GPUs, or none; all that are visible by default")
    place.add_argument("--gpus-per-run", type=int, metavar="N", help=GPUS_PER_RUN)
    failing = parser.add_argument_group("when something fails")
    failing.add_argument("--retries", type=int, default=2, metavar="N", help="of a run that failed; 2 by default")
    failing.add_argument("--max-failed", type=float, default=0.3, metavar="SHARE", help="stop beyond; 0.3 by default")
    failing.add_argument("--lease", type=float, default=60.0, metavar="SECONDS", help="of a dead worker; 60 by default")
    failing.add_argument(
        "--hang-after",
        type=float,
        default=30.0,
        metavar="MINUTES",
        help="kill a run that gives no sign of life, the stacks of its threads in its log; 30 by default, 0: never",
    )


STORAGES = "sqlite:///FILE, postgresql://USER@HOST/DB, journal:FILE or grpc://HOST:PORT"


def run_sweep(arguments: argparse.Namespace) -> int:
    """``dupl sweep``."""
    from dupl.config import overrides
    from dupl.plans.samplers import quiet_optuna

    _check(arguments)
    with quiet_optuna():
        from dupl.plans.sweep import load

        sweep = load(arguments.sweep, overrides.parse(arguments.set))
        if arguments.confirm is not None:
            return _confirm(arguments, sweep)
        if arguments.dry_run:
            print("\n".join(preview(sweep, arguments)))
            return 0
        return _search(arguments, sweep)


def _check(arguments: argparse.Namespace) -> None:
    for name, least in (("trials", 1), ("jobs", 1), ("confirm", 1), ("retries", 0), ("max_failed", 0)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} {value}: give at least {least}")
    if arguments.lease < 2:
        raise UserError(f"--lease {arguments.lease:g}: give at least 2 seconds")
    if arguments.hang_after < 0:
        raise UserError(f"--hang-after {arguments.hang_after:g}: give minutes, or 0 for never")
    if arguments.trials and arguments.confirm:
        raise UserError("--confirm comes after the search and --trials belongs to it: give one of them")
    if arguments.seeds and arguments.confirm is None:
        raise UserError("--seeds belongs to --confirm: trials train with the recipe's own seed")


def _search(arguments: argparse.Namespace, sweep: Sweep) -> int:
    from dupl.execute.job import processes_asked
    from dupl.execute.scheduler import Rules
    from dupl.execute.sweep import carry_out, prepare
    from dupl.plans.study import default_url, open_storage, open_study, shown

    console = stderr()
    url = arguments.storage or default_url(sweep, arguments.root)
    wanted = arguments.trials or sweep.trials
    storage = open_storage(url)
    study = open_study(sweep, storage, create=True)
    if (found := len(study.get_trials(deepcopy=False))) and not arguments.go_on:
        raise UserError(f"study {sweep.study} has {found} trials at {shown(url)}: add --continue to go on or to join")
    if arguments.gpus_per_run is None:
        arguments.gpus_per_run = processes_asked([sweep.config])
    executors = places(arguments)
    _prove_masks(sweep)
    prepare(sweep, study, arguments.root, wanted, arguments.lease)
    console.print(f"study {sweep.study} at {shown(url)}", soft_wrap=True, markup=False)
    rules = Rules(retries=arguments.retries, ttl=arguments.lease, hang=60 * arguments.hang_after)
    with progress_bar("trials", console) as progress:

        def tell(news: News) -> None:
            text = f"trial {news.number} {news.what}" + (f": {news.text}" if news.text else "")
            console.print(text, soft_wrap=True, markup=False)
            progress(*_done(study))

        progress(*_done(study))
        limit = int(arguments.max_failed * wanted)
        why = carry_out(sweep, storage, arguments.root, executors, rules, tell, max_failed=limit)
    print("\n".join(outcome(sweep, study)))
    if why == "interrupted":
        raise KeyboardInterrupt
    if why is not None:
        raise RunError(f"{why}, more than --max-failed {arguments.max_failed:g} allows: mend it, then --continue")
    return 0


def _prove_masks(sweep: Sweep) -> None:
    """Check that there are masks by which trials are judged, before any is trained."""
    from dupl.engine.build import build_dataset

    if not build_dataset(sweep.config, "val").has_masks:
        raise UserError(
            f"{sweep.name}: the images of the search split have no masks to judge trials by: add masks to data.train, "
            "or say another split by search = dict(set={...})"
        )


def _done(study: Study) -> tuple[int, int]:
    from dupl.execute.sweep import counts

    found = counts(study)
    return sum(found.get(state, 0) for state in ("complete", "pruned", "failed")), sum(found.values())


def places(arguments: argparse.Namespace) -> list[Executor]:
    """One place for each run at once, on GPUs or cores of its own."""
    from dupl.execute.local import LocalExecutor, available_cores, share, visible_gpus

    gpus = visible_gpus() if arguments.gpus is None else [gpu for gpu in arguments.gpus if gpu != "none"]
    whole = LocalExecutor(arguments.jobs, gpus, arguments.gpus_per_run)  # which tells what does not fit together
    per = whole.gpus
    groups = [gpus[i : i + per] for i in range(0, len(gpus) - per + 1, per)] if gpus else [[]]
    shares = share(available_cores(), whole.slots)
    return [LocalExecutor(1, groups[i % len(groups)], per, cores) for i, cores in enumerate(shares)]


def preview(sweep: Sweep, arguments: argparse.Namespace) -> list[str]:
    """What ``--dry-run`` prints."""
    from dupl.execute.eta import course_of
    from dupl.plans.study import default_url, shown
    from dupl.runs.store import RunStore

    store = RunStore(arguments.root)
    runs = store.runs()
    url = arguments.storage or default_url(sweep, arguments.root)
    lines = [f"{sweep.name}: {sweep.title}", f"study {sweep.study} at {shown(url)}; base {sweep.base}", ""]
    lines += [*searched(sweep), "starts from"]
    known = {run.fingerprint: run for run in store.best(runs)}
    for i, start in enumerate(sweep.start_from):
        planned = sweep.run(start)
        stored = known.get(planned.fingerprint)
        lines.append(f"    trial {i}  {planned.fingerprint}  {planned.row}  {stored.state if stored else 'to run'}")
    count = arguments.trials or sweep.trials
    pace = course_of(sweep.config, runs).pace
    each = pace.seconds(sweep.config.schedule.iterations, sweep.config.evaluation.interval) if pace else None
    hours = "hours unknown (no run like them in the store)" if each is None else f"{count * each / 3600:.2f} h at most"
    return [*lines, f"{count} trials of {sweep.evaluations} evaluations each: {hours}, one after the other"]


def searched(sweep: Sweep) -> list[str]:
    """What a sweep looks for, by which goal and means, on which data."""
    lines = ["goal", *(f"    {direction} {metric}" for metric, direction in sweep.goal), "space"]
    for p in sweep.space.values():
        moved = "" if p.paths == (p.label,) else f"  ({', '.join(p.paths)})"
        when = "".join(f", only where {k} is {' or '.join(map(str, v))}" for k, v in p.when.items())
        lines.append(f"    {p.label}: {p.told()}{when}{moved}")
    lines += ["constraints", *(f"    {one.text}" for one in sweep.constraints)] if sweep.constraints else []
    for name, spec in (("sampler", sweep.sampler), ("pruner", sweep.pruner)):
        told = ", ".join(f"{key}={value}" for key, value in spec.items() if key != "type")
        lines.append(f"{name}: {spec['type']}" + (f" ({told})" if told else ""))
    return [
        *lines,
        *("search split", *_told(sweep.search)),
        *("report split", *(_told(sweep.report) or ["    data.val as it is"])),
    ]


def _told(changes: Mapping[str, Any]) -> list[str]:
    return [f"    {path} = {value!r}" for path, value in changes.items()]


def ranked(sweep: Sweep, study: Study) -> list[FrozenTrial]:
    """Trials with a value, the best first and each run once; of several goals those of the front, by the first."""
    from optuna.trial import TrialState

    direction = sweep.goal[0][1]
    found = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(sweep.goal) > 1:
        front = {trial.number for trial in study.best_trials}
        found = [trial for trial in found if trial.number in front]
    found = sorted(found, key=lambda t: -t.values[0] if direction == "maximize" else t.values[0])
    return list({trial.user_attrs.get("run", trial.number): trial for trial in reversed(found)}.values())[::-1]


def outcome(sweep: Sweep, study: Study) -> list[str]:
    """What is printed at the end: how many trials ended how, the best points, and why some failed."""
    from dupl.execute.sweep import counts

    found = counts(study)
    lines = [f"{sum(found.values())} trials: " + ", ".join(f"{n} {state}" for state, n in found.items())]
    for trial in ranked(sweep, study)[:5]:
        values = ", ".join(f"{m} {v:.4g}" for (m, _), v in zip(sweep.goal, trial.values, strict=True))
        lines.append(f"trial {trial.number}: {values}  {sweep.run(trial.params).row}")
    for trial in study.get_trials(deepcopy=False):
        if trial.state.name == "FAIL":
            lines.append(f"failed: trial {trial.number}: {trial.user_attrs.get('reason', '')}")
    return lines


def _confirm(arguments: argparse.Namespace, sweep: Sweep) -> int:
    """Trains the chosen points on the report split by a plan that is written once, and prints its table."""
    from dupl.atomic import atomic_write
    from dupl.cli import build_parser
    from dupl.plans.confirm import confirm_file, confirm_text
    from dupl.plans.study import open_study

    path = confirm_file(sweep, arguments.root)
    seeds = arguments.seeds or [0, 1, 2]
    if path.is_file():
        stderr().print(f"goes on with the points of {path}, chosen before", soft_wrap=True, markup=False)
    else:
        study = open_study(sweep, arguments.storage, arguments.root)
        best = ranked(sweep, study)
        text = confirm_text(sweep, [(t.number, t.params, t.values) for t in best], arguments.confirm, seeds)
        if arguments.dry_run:
            print(text, end="")
            return 0
        atomic_write(path, text)
        stderr().print(f"chosen points are written to {path}", soft_wrap=True, markup=False)
    words = [str(path), *_words(arguments, "root", "seeds")]
    more = _words(arguments, "jobs", "gpus", "gpus_per_run", "retries", "max_failed", "lease", "hang_after")
    ablate = build_parser().parse_args(["ablate", *words, *more, *["--dry-run"] * arguments.dry_run])
    code = ablate.run(ablate)
    if code or arguments.dry_run:
        return int(code)
    report = build_parser().parse_args(["report", *words])
    return int(report.run(report))


def _words(arguments: argparse.Namespace, *names: str) -> list[str]:
    """Options that were given, as another command takes them."""
    words = []
    for name in names:
        if (value := getattr(arguments, name)) is not None:
            values = value if isinstance(value, list) else [value]
            words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return words
