"""From a list of breeds to an audited, conditional image generator."""

import shutil
import sys

__version__ = "0.1.0"

# On a full disk Python may keep half of a compiled module, and no later start gets past that one.
if shutil.disk_usage(__file__).free < 64 << 20:
    sys.dont_write_bytecode = True
