"""``python -m dupl``, which is how torchrun starts it."""

import sys

from dupl.cli import main

if __name__ == "__main__":
    sys.exit(main())
