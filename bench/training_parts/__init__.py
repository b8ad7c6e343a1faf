"""What ``bench/training.py`` is made of."""
