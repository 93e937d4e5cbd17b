"""What only developers run: the dashboard and alert rules as code, and the generators of the reference."""
