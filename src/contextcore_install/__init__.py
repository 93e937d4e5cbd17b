"""Installs an observability stack, and keeps track of its own work while it does."""

__version__ = "0.1.0"
