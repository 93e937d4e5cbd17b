"""Shared types and interfaces: errors, events, findings, redaction. No I/O."""
