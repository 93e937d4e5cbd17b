"""The journal: append-only segments of events, compressed when they grow old."""
