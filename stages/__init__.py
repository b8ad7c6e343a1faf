"""One short file a stage: read params, call the library, write outs and metrics."""

import sys

# Before a stage is compiled and imported: it looks whether the disk is full, and who started this.
from pipeline import ending

if sys.argv[0] == "-m":  # `python -m stages.NAME`, which imports this first
    ending.leave_at_once()
