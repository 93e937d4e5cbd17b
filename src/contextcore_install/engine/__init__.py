"""Plan, state, recorder and the engine that runs a plan. No I/O of its own."""
