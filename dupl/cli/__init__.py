"""The command line: parse, call the public functions of `dupl.api`, print."""

from __future__ import annotations

import argparse
import difflib
import faulthandler
import io
import signal
import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any, TextIO, cast

from dupl import __version__
from dupl.cli.ablate import add_ablate
from dupl.cli.board import add_board
from dupl.cli.common import CommandParser, be_quiet
from dupl.cli.compare import add_compare
from dupl.cli.completion import add_completion
from dupl.cli.dashboard import add_dashboard
from dupl.cli.data import add_data
from dupl.cli.doctor import add_doctor
from dupl.cli.evaluate import add_eval
from dupl.cli.evidence import add_export, add_verify
from dupl.cli.explain import add_explain
from dupl.cli.figure import add_figure
from dupl.cli.infer import add_infer
from dupl.cli.new import add_new
from dupl.cli.next_step import print_next
from dupl.cli.power import add_power
from dupl.cli.report import add_report
from dupl.cli.reproduce import add_reproduce
from dupl.cli.runs import add_runs
from dupl.cli.show import add_show
from dupl.cli.sweep import add_sweep
from dupl.cli.sync import add_sync
from dupl.cli.train import add_demo, add_train
from dupl.cli.welcome import what_next
from dupl.errors import FULL, FULL_TEXT, DiskError, Notice, RunError, UserError
from dupl.terminal import PrintableStream, printable, without_passwords


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Its words; those of the process where None.

    Returns:
        The exit code: 0, 1 (the run failed), 2 (bad input), 74 (the disk is full), 75 (another process is at it) or 130
        (Ctrl-C).
    """
    write_anything()
    words = sys.argv[1:] if argv is None else list(argv)
    parser = build_parser()
    parser.set_defaults(run=welcome, command="")
    if words and (line := unknown_command(words[0], parser)):
        tell(line)
        return 2
    arguments = parser.parse_args(words)
    watch_for_hangs()
    with warnings.catch_warnings(), redirect_stdout(cast(TextIO, PrintableStream(sys.stdout))):
        warn_in_one_line()
        return run(arguments)


def run(arguments: argparse.Namespace) -> int:
    """Run a parsed command; errors become a line on standard error and an exit code."""
    be_quiet(getattr(arguments, "quiet", False))
    try:
        code = int(arguments.run(arguments) or 0)
        if code == 0:
            print_next(arguments)
        return code
    except (UserError, RunError) as error:
        tell(error)
        return error.code
    except KeyboardInterrupt:
        print("dupl: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:
        full = error.errno in FULL
        tell(f"{FULL_TEXT} ({error}): free space, then give the command again" if full else error)
        return DiskError.code if full else RunError.code


def welcome(arguments: argparse.Namespace) -> int:
    """Run ``dupl`` without a command."""
    print("\n".join(what_next()))
    return 0


def unknown_command(word: str, parser: argparse.ArgumentParser) -> str:
    """Return what is wrong with the first word of a command line; "" where it is an option or a command."""
    (commands,) = (action.choices for action in parser._actions if isinstance(action.choices, dict))
    if word.startswith("-") or word in commands:
        return ""
    close = difflib.get_close_matches(word, commands, n=1)
    meant = f"; did you mean {close[0]}?" if close else f": give one of {', '.join(commands)}"
    return f"there is no command {printable(word)}{meant}"


def tell(message: object) -> None:
    """Print a message as one line on standard error, without control characters and passwords."""
    print(f"dupl: {printable(without_passwords(message))}", file=sys.stderr)


def warn_in_one_line() -> None:
    """Print the package's own warnings as one line on standard error, each once."""
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, Notice):
            tell(message)
        else:
            others(message, category, *place, **more)

    warnings.simplefilter("default", Notice)
    warnings.showwarning = show


def write_anything() -> None:
    """Write characters that a terminal or a pipe cannot show, such as a check mark in Latin-1, as their escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def watch_for_hangs() -> None:
    """Make ``kill -USR1 PID`` write the stacks of all threads to standard error, and so does a crash in C code."""
    if sys.__stderr__ is None or not hasattr(faulthandler, "register"):
        return
    faulthandler.register(signal.SIGUSR1, sys.__stderr__, all_threads=True)
    if not faulthandler.is_enabled():
        faulthandler.enable(sys.__stderr__)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="dupl",
        description="Dual-student weakly supervised segmentation: train, evaluate, compare.",
        epilog=EXAMPLES,
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--version", action="version", version=f"dupl {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=CommandParser)
    numbers = (add_runs, add_reproduce, add_explain, add_report, add_power)
    look = (*numbers, add_figure, add_compare, add_board, add_dashboard, add_sync)
    make = (add_demo, add_train, add_eval, add_infer, add_show, add_new, add_data, add_ablate, add_sweep)
    proof = (add_export, add_verify)
    for add in (*make, *look, *proof, add_doctor):
        add(commands)
    add_completion(commands, parser)
    return parser


EXAMPLES = """examples:
  dupl demo                                   everything at once on synthetic scenes, about 5 minutes
  dupl show voc/dupl                          a recipe: components, fingerprint, every value
  dupl data check voc/dupl                    verify a data set before training
  dupl train voc/dupl                         train; Ctrl-C stops it, --resume continues
  dupl eval runs/RUN                          tables of a trained run
  dupl runs                                   every run: state, size, commit
  dupl board                                  the same in a browser, live: curves, galleries, plans, sweeps
  dupl reproduce runs/RUN                     what is the same here, and the command that makes it again
  dupl explain runs/A runs/B                  what makes two runs differ, and which runs would settle it
  dupl train photos/ --tags tags.csv          photos of your own: chooses what fits, trains, shows the masks
  dupl infer photos/ --out out/               masks, overlays, heat maps of your images by the newest run
  dupl doctor voc/dupl                        what this machine lacks for it, and how to fix it
  dupl ablate PLAN --dry-run                  a plan's runs, what is done, the time remaining; then without it
  dupl power PLAN --spread 1.8,0.9            which differences its table could show, with how many seeds
  dupl sweep SWEEP --jobs 2                   search for hyper-parameters; poor trials are stopped early
  dupl report PLAN                            its table beside the paper's numbers, with intervals
  dupl export PLAN --out FILE.zip             the table with its evidence; dupl verify FILE.zip proves every cell
  dupl figure 7a PLAN --out fig7a.pdf         a figure of the paper, from the runs
  dupl compare runs/A runs/B --out ab.png     methods side by side on the same images: CAMs and masks
  dupl eval --masks DIR --name other --data voc/dupl    label maps of another program, beside the runs
"""
