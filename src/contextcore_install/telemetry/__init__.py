"""Events as metrics, and how they reach a store."""
