"""One short file a stage: read params, call the library, write outs and metrics."""

import pipeline  # noqa: F401  (before a stage is compiled: it looks whether the disk is full)
