"""What every test may rely on."""

import signal

# A job that a script starts in the background ignores SIGINT, and its children inherit that: the
# tests of Ctrl-C would then find processes that no Ctrl-C can reach.
signal.signal(signal.SIGINT, signal.default_int_handler)
