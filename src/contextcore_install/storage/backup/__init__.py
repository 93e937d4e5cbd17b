"""Backups: written whole or not at all, read as what a stranger may have made."""
