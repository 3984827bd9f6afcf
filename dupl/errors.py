"""What the command line prints in one line, and the exit code that goes with it."""

import errno
from typing import ClassVar

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FULL_TEXT = "disk full"  # begins the line of a `DiskError` of these


class UserError(Exception):
    """A mistake that the user can repair: what is wrong, where, and what to do, in one line."""

    code: ClassVar[int] = 2


class Held(UserError):
    """Another process is doing this at the moment; later it may work (EX_TEMPFAIL of sysexits.h)."""

    code: ClassVar[int] = 75


class RunError(Exception):
    """A training that stopped by itself: what happened, when, and what to try, in one line."""

    code: ClassVar[int] = 1


class DiskError(RunError):
    """The disk is full or cannot be written, which is no fault of the run (EX_IOERR of sysexits.h)."""

    code: ClassVar[int] = 74


class Notice(UserWarning):
    """Something that the user should know, in one line; the command line prints it on standard error."""


class UnknownKeys(Notice):
    """A stored config has keys that the schema of this version does not have."""
