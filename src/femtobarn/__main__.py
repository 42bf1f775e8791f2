"""``python -m femtobarn``: for places where the installed script is not on PATH."""

from __future__ import annotations

from femtobarn.cli import main

if __name__ == "__main__":
    main()
