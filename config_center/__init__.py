"""The config center: accepts, keeps, announces and judges changes."""

__version__ = "0.1.0"
