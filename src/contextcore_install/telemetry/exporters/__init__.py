"""One exporter a backend: found, spoken to in its protocol, and its answers read."""
