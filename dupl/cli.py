"""The command line: ``dupl demo | train | eval | infer | show | data``. The one file that may import everything."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl import __version__
from dupl.errors import RunError, UserError

if TYPE_CHECKING:
    from mmengine.config import Config
    from rich.console import Console

SET_HELP = "replace values of the recipe: path=value, for example model.noise_filter.gamma=0.95"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; exit code 0, 1 (the run failed), 2 (bad input) or 130 (interrupted)."""
    arguments = build_parser().parse_args(argv)
    try:
        return int(arguments.run(arguments) or 0)
    except UserError as error:
        print(f"dupl: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"dupl: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("dupl: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:
        print(f"dupl: {error}", file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="dupl",
        description="Dual-student weakly supervised segmentation: train, evaluate, look.",
        epilog=EXAMPLES,
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--version", action="version", version=f"dupl {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_demo, _train, _eval, _infer, _show, _data):
        add(commands)
    return parser


EXAMPLES = """examples:
  dupl demo                                   everything at once on embedded scenes, about 5 minutes
  dupl show voc/dupl                          a recipe: components, fingerprint, every value
  dupl data check voc/dupl                    verify a data set before training
  dupl train voc/dupl                         train; Ctrl-C stops it, --resume goes on
  dupl eval runs/RUN                          tables of a trained run
  dupl infer runs/RUN photos/ --out out/      masks, overlays, heat maps of your images
"""


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int | None], text: str, examples: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog="examples:\n" + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _recipe_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="PATH=VALUE", help=SET_HELP)


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def _resolved(recipe: str, sets: Sequence[str]) -> Config:
    """A recipe with its overrides."""
    from dupl import recipes
    from dupl.lab import overrides

    config = overrides.apply(recipes.load(recipe), overrides.parse(sets))
    sections = ("model", "data", "schedule", "evaluation", "runtime")
    if lacking := [name for name in sections if not isinstance(config.get(name), dict)]:
        raise UserError(f"{recipe} has no {', '.join(lacking)}: begin it with a _base_ that has")
    return config


def _default_folder(recipe: str, config: Config) -> Path:
    from dupl.lab.fingerprint import fingerprint

    name = Path(recipe).with_suffix("").as_posix().strip("./").replace("/", "-")
    return Path("runs") / f"{name}-{fingerprint(config)}"


# demo ----------------------------------------------------------------------------------------------------------------


def _demo(commands: Any) -> None:
    parser = _command(
        commands,
        "demo",
        run_demo,
        "train, evaluate and look, on embedded scenes, with all five components on",
        "  dupl demo\n  dupl demo --work-dir my-demo\n  dupl demo --resume            go on after an interruption\n",
    )
    parser.add_argument("--work-dir", type=Path, help="the run's folder; runs/demo-toy-FINGERPRINT by default")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted demo")
    _recipe_options(parser)


def run_demo(arguments: argparse.Namespace) -> int:
    """``dupl demo``."""
    from dupl.engine.demo import demo

    config = _resolved("demo/toy", arguments.set)
    folder = arguments.work_dir or _default_folder("demo/toy", config)
    demo(config, folder, resume=arguments.resume, console=_console())
    return 0


# train ---------------------------------------------------------------------------------------------------------------


def _train(commands: Any) -> None:
    parser = _command(
        commands,
        "train",
        run_train,
        "train a recipe",
        "  dupl train voc/dupl\n"
        "  dupl train voc/dupl --set model.threshold.final=0.5 runtime.seed=1\n"
        "  dupl train my/recipe.py --work-dir runs/mine --resume\n"
        "  dupl train voc/dupl --set schedule.accumulate=2          one GPU, micro-batches of 2\n"
        "  torchrun --nproc-per-node 2 -m dupl train voc/dupl --launcher pytorch\n",
    )
    parser.add_argument("recipe", help="a name that `dupl show` lists, or a file")
    parser.add_argument("--work-dir", type=Path, help="the run's folder; runs/RECIPE-FINGERPRINT by default")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint, exactly")
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="for several processes",
    )
    _recipe_options(parser)


def run_train(arguments: argparse.Namespace) -> int:
    """``dupl train``."""
    config = _resolved(arguments.recipe, arguments.set)  # before the imports: a slip of the pen is told at once

    from dupl.engine.pictures import draw
    from dupl.engine.train import train

    folder = arguments.work_dir or _default_folder(arguments.recipe, config)
    console = _console()
    run = train(config, folder, resume=arguments.resume, launcher=arguments.launcher, console=console)
    if run is not None:
        for picture in draw(run, config):
            console.print(f"look at {picture}", soft_wrap=True)
    return 0


# eval ----------------------------------------------------------------------------------------------------------------


def _eval(commands: Any) -> None:
    parser = _command(
        commands,
        "eval",
        run_eval,
        "evaluate a run, or a recipe with a checkpoint (of ours, of the released code, of ToCo)",
        "  dupl eval runs/RUN                                    as in training: squashed, one scale, no CRF\n"
        "  dupl eval runs/RUN --protocol final                   multi-scale, flip, dense CRF; without it beside\n"
        "  dupl eval runs/RUN --protocol final --no-crf --student best\n"
        "  dupl eval runs/RUN --protocol final --crf-backend pydensecrf --present-only\n"
        "  dupl eval runs/RUN --protocol cam --threshold 0.4     CAMs, and the curve over thresholds\n"
        "  dupl eval runs/RUN --checkpoint last --split train\n"
        "  dupl eval voc/dupl_released --checkpoint released.pth --set data.val.root=/data/VOC2012\n",
    )
    parser.add_argument("run_or_recipe", help="a run's folder, or a recipe (with --checkpoint)")
    parser.add_argument("--checkpoint", help="best, last or a file; best by default")
    parser.add_argument("--split", default="val", help="entry of the recipe's data section; val by default")
    parser.add_argument(
        "--protocol",
        choices=["train", "final", "cam"],
        default="train",
        help="train: of training time, the paper's Tables 1 and 4; final: of its Tables 2, 5 and 6; cam: CAMs alone",
    )
    parser.add_argument(
        "--student",
        action="append",
        default=[],
        metavar="WHO",
        help="1, 2, best (the better one, per metric) or mean (averaged probabilities), repeatable; all by default",
    )
    parser.add_argument("--threshold", type=float, help="on CAMs; the recipe's cam_threshold by default")
    _crf_options(parser)
    parser.add_argument("--out", type=Path, help="where the folder of results goes; inside the run by default")
    _recipe_options(parser)


def _crf_options(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--crf",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="the dense CRF of the final protocol; its label maps are kept, and a repeated command goes on from them",
    )
    parser.add_argument(
        "--crf-backend",
        choices=["torch", "pydensecrf"],
        default="torch",
        help="torch, or the reference, which needs pip install 'dupl-lab[crf]'",
    )
    parser.add_argument("--present-only", action="store_true", help="the CRF chooses among the image's tags only")


def run_eval(arguments: argparse.Namespace) -> int:
    """``dupl eval``."""
    from dupl.engine.assess import Choice, assess
    from dupl.engine.restore import restore
    from dupl.report.tables import print_evaluation

    console = _console()
    restored = restore(arguments.run_or_recipe, arguments.checkpoint, arguments.set)
    choice = Choice(
        protocol=arguments.protocol,
        students=tuple(dict.fromkeys(arguments.student)),
        refine=arguments.crf,
        backend=arguments.crf_backend,
        present_only=arguments.present_only,
        threshold=arguments.threshold,
    )
    with _progress(f"evaluate {arguments.split}", console) as progress:
        written = assess(restored, arguments.split, choice, out=arguments.out, progress=progress)
    for one in written:
        print_evaluation(one.evaluation.metrics, one.evaluation.class_rows(), one.title)
        console.print(f"written to {one.folder}", soft_wrap=True)
    return 0


@contextmanager
def _progress(text: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """A progress bar with its ETA; what comes out takes the images done and in all."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("eta"), TimeRemainingColumn())
    bar = Progress(TextColumn(text), *columns, console=console)
    task = bar.add_task(text, total=None)

    def show(done: int, total: int) -> None:
        bar.start()  # not before: a mistake found on the way is told in one line
        bar.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()


# infer ---------------------------------------------------------------------------------------------------------------


def _infer(commands: Any) -> None:
    parser = _command(
        commands,
        "infer",
        run_infer,
        "segment images: masks (palette PNG), overlays and CAM heat maps",
        "  dupl infer runs/RUN photos/ --out out/\n"
        "  dupl infer runs/RUN cat.jpg --out out/ --tags cat\n"
        "  dupl infer runs/RUN photos/ --out out/ --tags tags.csv\n"
        "  dupl infer voc/dupl_released --checkpoint released.pth photos/ --out out/\n"
        "  dupl infer runs/RUN --voc-submission --root /data/VOC2012 --out submission/\n",
    )
    parser.add_argument("run_or_recipe", help="a run's folder, or a recipe (with --checkpoint)")
    images = parser.add_argument("images", nargs="+", type=Path, default=[], help="image files, or folders of them")
    parser.add_argument("--out", type=Path, required=True, help="folder for masks/, overlays/, cams/ and tags.csv")
    parser.add_argument(
        "--tags", help="class names for all images, or a CSV with columns image,tags; predicted by default"
    )
    parser.add_argument("--student", default="mean", help="1, 2 or mean of both; mean by default")
    parser.add_argument("--checkpoint", help="best, last or a file; best by default")
    server = parser.add_argument_group("PASCAL VOC test server")

    class Submission(argparse.Action):
        """The flag, which does without images; an optional positional would swallow none before later options."""

        def __call__(self, parser: Any, namespace: argparse.Namespace, *_: Any) -> None:
            namespace.voc_submission, images.required = True, False

    server.add_argument(
        "--voc-submission",
        action=Submission,
        nargs=0,
        default=False,
        help="label a list of VOC by the final protocol, and pack results.tgz in --out; repeated, it goes on",
    )
    server.add_argument("--root", type=Path, help="VOC's folder: JPEGImages and ImageSets")
    server.add_argument("--split", default="test", help="the list of ids; test by default")
    _crf_options(server)
    _recipe_options(parser)


def run_submission(arguments: argparse.Namespace) -> int:
    """``dupl infer --voc-submission``."""
    if arguments.images or arguments.tags or arguments.root is None:
        raise UserError("--voc-submission takes --root VOC2012 and --out DIR, and neither images nor --tags")

    from dupl.engine.assess import Choice
    from dupl.engine.restore import restore
    from dupl.engine.submission import submit

    console = _console()
    restored = restore(arguments.run_or_recipe, arguments.checkpoint, arguments.set)
    choice = Choice("final", (arguments.student,), arguments.crf, arguments.crf_backend, arguments.present_only)
    with _progress(f"label {arguments.split}", console) as progress:
        archive = submit(restored, arguments.root, arguments.split, arguments.out, choice, progress)
    console.print(f"complete; upload {archive}", soft_wrap=True)
    return 0


def run_infer(arguments: argparse.Namespace) -> int:
    """``dupl infer``."""
    if arguments.voc_submission:
        return run_submission(arguments)
    from dupl.engine.infer import find_images, infer, read_tags
    from dupl.engine.restore import restore

    console = _console()
    files = find_images(arguments.images)
    restored = restore(arguments.run_or_recipe, arguments.checkpoint, arguments.set)
    classes = restored.classes()
    tags = read_tags(arguments.tags, files, classes) if arguments.tags is not None else None
    model = restored.model(classes)
    students = ["mean", *(str(i + 1) for i in range(len(model.students)))]
    if arguments.student not in students:
        raise UserError(f"--student {arguments.student}: this model has {', '.join(students)}")
    with _progress("infer", console) as progress:
        passed = infer(
            model,
            files,
            classes,
            restored.config.evaluation.size,
            arguments.out,
            tags=tags,
            student=arguments.student,
            progress=progress,
        )
    for line in passed:
        console.print(f"passed over: {line}", soft_wrap=True, markup=False)
    console.print(f"{len(files) - len(passed)} of {len(files)} images written to {arguments.out}", soft_wrap=True)
    return 2 if passed else 0


# show ----------------------------------------------------------------------------------------------------------------


def _show(commands: Any) -> None:
    parser = _command(
        commands,
        "show",
        run_show,
        "print a recipe: which components are on, its fingerprint, every value; or list the recipes",
        "  dupl show\n  dupl show voc/dupl\n  dupl show runs/RUN\n"
        "  dupl show voc/dupl --set model.students.type=SingleStudent\n",
    )
    parser.add_argument("recipe", nargs="?", help="a recipe or a run's folder; nothing lists the recipes")
    _recipe_options(parser)


def run_show(arguments: argparse.Namespace) -> int:
    """``dupl show``."""
    from dupl import recipes
    from dupl.lab.fingerprint import fingerprint
    from dupl.lab.run import Run

    if arguments.recipe is None:
        for name in recipes.names():
            print(f"{name:24} {recipes.docstring(name).strip().partition(chr(10))[0]}".rstrip())
        return 0
    run = Run(arguments.recipe)
    source = str(run.config_path) if run.exists() else arguments.recipe
    config = _resolved(source, arguments.set)
    rows = components(config.model)
    print((recipes.docstring(source) or "").strip() + "\n" if not run.exists() else _status_lines(run))
    print(f"fingerprint  {fingerprint(config)}")
    for name, on, what in rows:
        print(f"{name:12} {'on ' if on else 'off'}  {what}")
    print("\n" + recipes.to_text(config))
    return 0


def components(model: dict[str, Any]) -> list[tuple[str, bool, str]]:
    """The five components of a model config: name, whether it is on, its class and arguments."""
    from dupl.method import dupl  # noqa: F401  (registers the components)
    from dupl.registry import COMPONENTS

    places = {
        "DS": "students",
        "L_dis": "discrepancy",
        "DTA": "threshold",
        "ANF": "noise_filter",
        "L_reg": "consistency",
    }
    rows = []
    for name, key in places.items():
        arguments = {k: v for k, v in model[key].items() if k != "type"}
        kind = COMPONENTS.get(model[key]["type"])
        if kind is None:
            known = ", ".join(sorted(COMPONENTS.module_dict))
            raise UserError(f"model.{key}: no component is called {model[key]['type']}; there are {known}")
        on = not getattr(kind, "null", False) and model[key]["type"] != "SingleStudent"
        rows.append((name, on, f"{model[key]['type']}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})"))
    return rows


def _status_lines(run: Any) -> str:
    status = run.status
    lines = [
        f"run          {run.path}",
        f"state        {status.state}, iteration {status.iteration} of {status.iterations}",
    ]
    lines.append(f"trained      {status.seconds:.0f} s on {status.host}, seed {status.seed}")
    lines.append(f"code         {status.commit or 'no checkout'}{' with changes' if status.dirty else ''}")
    lines.append(f"versions     {', '.join(f'{k} {v}' for k, v in (status.versions or {}).items() if v)}")
    lines.append(f"command      {' '.join(status.command)}")
    if status.error:
        lines.append(f"error        {status.error}")
    return "\n".join(lines)


# data ----------------------------------------------------------------------------------------------------------------


def _data(commands: Any) -> None:
    parser = commands.add_parser("data", help="verify or prepare data sets", description="Verify or prepare data sets.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = _command(
        actions,
        "check",
        run_data_check,
        "verify the data sets of a recipe before training",
        "  dupl data check voc/dupl\n"
        "  dupl data check voc/dupl --set data.train.root=/data/VOC2012 data.val.root=/data/VOC2012\n",
    )
    check.add_argument("recipe", help="a recipe")
    check.add_argument("--limit", type=int, default=50, help="most problems to print; 50 by default")
    _recipe_options(check)
    prepare = _command(
        actions,
        "prepare",
        run_data_prepare,
        "download, verify, unpack and convert a public data set; what is done is skipped",
        "  dupl data prepare voc --root data/voc12 --dry-run\n"
        "  dupl data prepare voc --root data/voc12        VOC 2012: photos, masks, lists, tags.csv\n"
        "  dupl data prepare sbd --root data/voc12        then SBD: SegmentationClassAug, train_aug\n"
        "  dupl data prepare coco --root data/coco14      COCO 2014: photos, tags, masks\n"
        "  dupl data prepare coco --root data/coco14 --from ~/downloads\n",
    )
    prepare.add_argument("dataset", choices=["voc", "sbd", "coco"], help="which one; sbd goes into voc's root")
    prepare.add_argument("--root", type=Path, required=True, help="folder of the set; downloads go to its archives/")
    prepare.add_argument("--from", type=Path, dest="source", metavar="DIR", help="folder that has the archives already")
    prepare.add_argument("--mirror", metavar="URL", help="web folder with the archives, instead of their owners'")
    prepare.add_argument("--dry-run", action="store_true", help="list the steps, their sizes and the free disk")


def run_data_check(arguments: argparse.Namespace) -> int:
    """``dupl data check``."""
    config = _resolved(arguments.recipe, arguments.set)

    from rich.progress import Progress

    from dupl.data.check import check_datasets
    from dupl.engine import build

    splits = [k for k, v in config.data.items() if isinstance(v, dict) and "type" in v]
    sources = {split: build.build_dataset(config, split) for split in splits}
    with Progress(console=_console(), transient=True) as bar:
        task = bar.add_task("check", total=None)
        report = check_datasets(sources, lambda done, total: bar.update(task, completed=done, total=total))
    print("\n".join(report.lines(arguments.limit)))
    return 0 if report.ok else 2


def run_data_prepare(arguments: argparse.Namespace) -> int:
    """``dupl data prepare``."""
    from dupl.data.prepare.command import prepare

    prepare(
        arguments.dataset, arguments.root, _console(), arguments.source, arguments.mirror, dry_run=arguments.dry_run
    )
    return 0
