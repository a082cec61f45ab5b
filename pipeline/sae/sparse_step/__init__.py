"""A training step that leaves silent features out."""
