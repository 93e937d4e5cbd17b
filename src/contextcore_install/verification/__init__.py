"""What a complete installation is, as requirements, and whether they are met."""
