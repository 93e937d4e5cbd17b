"""One module a command: each has `run(app) -> int`."""
