"""Pure folds of the events into samples, spans and log lines."""
