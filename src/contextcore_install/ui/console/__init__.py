"""A run on a console: live view, plain lines, JSON lines, and its summary."""
