"""The diagnostic bundle: evidence collected side by side, redacted, in one file."""
