"""From a list of breeds to an audited, conditional image generator."""

__version__ = "0.1.0"
