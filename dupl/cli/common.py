"""What the commands share: how they are declared, common options, and where they print."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

QUIET: ContextVar[bool] = ContextVar("quiet", default=False)  # of the command that runs
RECIPE = "a name that `dupl show` lists, or a file"
RUN_OR_RECIPE = "a run's folder, or a recipe (with --checkpoint)"
SET_HELP = "replace values of the recipe by path, for example model.noise_filter.gamma=0.95"


class CommandParser(argparse.ArgumentParser):
    """A parser of one command, which refuses unknown options itself: with its own usage and what may be meant.

    Attributes:
        further: The positional argument, a list, that words after an option belong to; "" where there is none.
    """

    further = ""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, and end with an error where something is left over."""
        found, unknown = super().parse_known_args(args, namespace)
        if self.further and not any(word.startswith("-") for word in unknown):
            getattr(found, self.further).extend(unknown)
            unknown = []
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._hint(unknown)}")
        return found, unknown

    def _hint(self, unknown: Sequence[str]) -> str:
        """Return what may be meant by an unknown option: a similar one, or a value of the recipe."""
        options = [option for action in self._actions for option in action.option_strings]
        wrong = next((word.partition("=")[0] for word in unknown if word.startswith("--")), None)
        if wrong and (close := difflib.get_close_matches(wrong, options, n=1, cutoff=0.75)):
            return f"; did you mean {close[0]}?"
        if wrong and "--set" in options:
            return "; values of the recipe are replaced by --set PATH=VALUE"
        return ""


def command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int | None], text: str, examples: str
) -> CommandParser:
    """Declare a command with its help text, its examples and the function that runs it."""
    parser: CommandParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog="examples:\n" + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print results and errors only")
    parser.set_defaults(run=run)
    return parser


def json_option(parser: argparse._ActionsContainer, what: str = "print a list as JSON, for other programs") -> None:
    """Add ``--json``, for every command that lists something."""
    parser.add_argument("--json", action="store_true", help=what)


def print_json(value: Any) -> None:
    """Print plain values as JSON on standard output; NaN and infinities, which JSON does not have, as null."""
    plain = json.loads(json.dumps(value, default=str), parse_constant=lambda _: None)
    print(json.dumps(plain, indent=2))


def recipe_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--set``, for every command that takes a recipe."""
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="PATH=VALUE", help=SET_HELP)


def store_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--call`` and ``--data``, for every command that shows the runs of a plan."""
    parser.add_argument(
        "--call", type=int, metavar="N", help="take the --set of the N-th last dupl ablate of the plan; default: 1"
    )
    parser.add_argument(
        "--data", metavar="DIGEST", help="of runs or evaluations on different data take those on this, as dupl says it"
    )


def tracking_options(parser: argparse._ActionsContainer, what: str = "track the run; by default") -> None:
    """Add ``--wandb`` and ``--track``, for every command that trains, evaluates or makes a table."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--wandb",
        choices=["off", "offline", "online"],
        help=f"{what} as WANDB_MODE says, otherwise off",
    )
    group.add_argument(
        "--track",
        dest="wandb",
        choices=["trackio"],
        help="the same on trackio, which keeps everything on this machine and needs no account",
    )


def crf_options(parser: argparse._ActionsContainer) -> None:
    """Add the switch and the backend of the dense CRF."""
    parser.add_argument(
        "--crf",
        action=argparse.BooleanOptionalAction,
        help="apply the dense CRF of the final protocol (default); a repeated command continues from cached label maps",
    )
    parser.add_argument(
        "--crf-backend",
        choices=["torch", "pydensecrf"],
        help='torch (default), or pydensecrf, the reference implementation, which needs pip install ".[crf]"',
    )
    parser.add_argument(
        "--present-only", action="store_true", help="restrict the CRF to the classes of the image's tags"
    )


def be_quiet(quiet: bool) -> None:
    """Choose whether progress and messages are shown; results and errors always are."""
    QUIET.set(quiet)


def stderr(asks: bool = False) -> Console:
    """Return the console of progress and messages; results go to standard output.

    Args:
        asks: Whether it asks a question, which ``--quiet`` does not silence.
    """
    from dupl.terminal import safe_console

    notebook = "ipykernel" in sys.modules  # says it is a terminal, and keeps every state of a progress bar
    forced = False if notebook else None
    options = dict(stderr=True, highlight=False, markup=False, force_jupyter=False, force_terminal=forced)
    return safe_console(**options, quiet=QUIET.get() and not asks)


def say(console: Console) -> Callable[[str], None]:
    """Return a function that prints lines as they are, without wrapping them."""
    return lambda line: console.print(line, soft_wrap=True, markup=False)


@contextmanager
def progress_bar(text: str, console: Console, *, transient: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar with its ETA; what comes out takes the items done and in all.

    Args:
        text: Before the bar.
        console: Where.
        transient: Whether the bar goes away in the end.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("eta"), TimeRemainingColumn())
    bar = Progress(TextColumn(text), *columns, console=console, transient=transient)
    task = bar.add_task(text, total=None)

    def show(done: int, total: int) -> None:
        bar.start()  # not before: a mistake found on the way is told in one line
        bar.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()


def tally(states: Iterable[str]) -> str:
    """Return how many runs are in which state, the most frequent one first: "3 finished, 1 failed"."""
    return ", ".join(f"{count} {state}" for state, count in Counter(states).most_common())
