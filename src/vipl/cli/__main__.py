"""`python -m vipl.cli`."""

import sys

from vipl.cli import main

if __name__ == "__main__":
    sys.exit(main())
