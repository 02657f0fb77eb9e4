"""``python -m jensen``: the same as the command ``jensen``."""

from __future__ import annotations

import sys

from jensen.cli import main

if __name__ == "__main__":
    sys.exit(main())
