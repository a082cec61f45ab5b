"""Blocks of activations for training, in a seeded order; computed ahead, and shared between processes."""
