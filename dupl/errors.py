"""The one error a user may meet: what is wrong, where, and what to do, in one line."""


class UserError(Exception):
    """A mistake the user can mend; the command line prints its one line and exits with 2."""
