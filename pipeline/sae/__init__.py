"""Sparse autoencoders: one file per architecture, found through the registry."""

from pipeline.sae.base import SAE, Losses
from pipeline.sae.saved import load_sae, save_sae

__all__ = ["SAE", "Losses", "load_sae", "save_sae"]
