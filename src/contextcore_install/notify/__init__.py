"""Messages about runs, and how they reach the people who asked for them."""
