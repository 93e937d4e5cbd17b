"""The pure heart: plan, state, recorder and engine. No I/O of its own."""
