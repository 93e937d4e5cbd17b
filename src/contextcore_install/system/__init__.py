"""Processes, HTTP and downloads: the hands of the program."""
