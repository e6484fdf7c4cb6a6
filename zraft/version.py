"""The version of this code, as in setup.cfg."""

__version__ = "0.2.0.dev0"
