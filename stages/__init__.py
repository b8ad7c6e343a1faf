"""One short file a stage: read params, call the library, write outs and metrics."""
