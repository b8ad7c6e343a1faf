"""The parts of bench/fuzz.py."""
