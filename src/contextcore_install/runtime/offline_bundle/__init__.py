"""Makes an offline bundle: everything that an installation needs, gathered into one file."""
