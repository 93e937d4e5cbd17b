"""What survives a crash: journal, state file, lock and the folders they live in."""
