"""DuPL Lab: dual-student weakly supervised segmentation, with its experiments."""

__version__ = "0.1.0"
