"""What the command line prints in one line: a user's mistake (exit code 2) or a run that failed (exit code 1)."""


class UserError(Exception):
    """A mistake the user can mend: what is wrong, where, and what to do, in one line. Exit code 2."""


class RunError(Exception):
    """Training stopped by itself: what happened, when, and what to try, in one line. Exit code 1."""


class UnknownKeys(UserWarning):
    """A stored config has keys that the schema of this version does not have."""
