"""What is installed: the components, their programs, images and configurations."""
