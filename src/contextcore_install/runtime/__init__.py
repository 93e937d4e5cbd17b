"""Puts an installation's run together and carries it out: everything that commands share."""
