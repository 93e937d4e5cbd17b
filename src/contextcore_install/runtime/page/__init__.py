"""What a live page shows: its document, read from an installation's files, and the stream of changes."""
