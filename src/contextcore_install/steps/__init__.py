"""One module a step of the installation."""
