"""Access to this machine: processes, HTTP, files, locks, packages."""
