"""Events and reports as people and scripts see them."""
