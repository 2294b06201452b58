"""``python -m appservice`` is ``rialto``."""

from __future__ import annotations

import sys

from appservice.cli import main

if __name__ == "__main__":
    sys.exit(main())
