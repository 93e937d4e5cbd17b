"""The steps of the installation, and the list of them."""
