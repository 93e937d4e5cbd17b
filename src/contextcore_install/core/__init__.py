"""The pure heart: plans, events, state and the engine; it imports nothing of ours and does no I/O of its own."""
