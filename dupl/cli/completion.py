"""``dupl completion``."""

from __future__ import annotations

import argparse
from typing import Any

from dupl.cli.common import command
from dupl.errors import UserError

SHELLS = ("bash", "zsh", "tcsh")


def add_completion(commands: Any, parser: argparse.ArgumentParser) -> None:
    """Declare ``dupl completion``.

    Args:
        commands: The commands of the parser.
        parser: The parser of all commands, whose words are completed.
    """
    own = command(
        commands,
        "completion",
        lambda arguments: run_completion(arguments, parser),
        "print the script by which a shell completes commands and options",
        '  dupl completion bash       in ~/.bashrc: eval "$(dupl completion bash)"\n'
        "  dupl completion zsh        into a file _dupl in a folder of $fpath\n"
        "  dupl completion tcsh       into a file that ~/.tcshrc sources\n",
    )
    own.add_argument("shell", choices=SHELLS, help="which shell")


def run_completion(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run ``dupl completion``."""
    try:
        import shtab
    except ImportError:
        raise UserError('completion scripts are made by shtab: pip install ".[completion]"') from None
    print(shtab.complete(parser, arguments.shell), end="")
    return 0
