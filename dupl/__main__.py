"""``python -m dupl``, which is how torchrun starts it."""

import os
import sys

if __name__ == "__main__":
    if sys.path[:1] in ([""], [os.getcwd()]) and not getattr(sys.flags, "safe_path", False):
        del sys.path[0]  # the current folder may be a run from elsewhere: its modules must not be imported
    from dupl.cli import main

    sys.exit(main())
