"""From evidence to findings with remedies."""
