"""The made-up results of other tests, whose pages are opened here."""

import sys
from pathlib import Path

for name in ("report", "cleaning", "scraping"):
    sys.path.append(str(Path(__file__).parents[1] / name))
