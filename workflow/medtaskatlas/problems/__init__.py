"""What is predicted of which images, and how well: for all supervised systems."""
