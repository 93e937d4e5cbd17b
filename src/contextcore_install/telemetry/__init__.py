"""Exports the events of runs as metrics, traces and logs."""
