"""`python -m saccade` is the `saccade` command."""

import sys

from saccade.agents.cli import main

if __name__ == "__main__":
    sys.exit(main())
