"""Where a stack can run: one module or folder a provider."""
