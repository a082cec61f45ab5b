"""A training step that skips inactive features."""
