"""Blocks of activations for training, in a seeded order: prefetched on a GPU, shared between processes on a CPU."""
