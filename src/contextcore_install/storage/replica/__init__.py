"""The copy of an installation's records in its cluster, and the lease on it."""
