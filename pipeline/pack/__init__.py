"""A pack: runs that one process trains together from one activation stream, evaluates together and records.

This room composes the others (tokens, activations, SAE, training, evaluation, record): members (runs, and what happens
when one goes wrong) -> training (exchange: its blocks, from a process beside this one) -> evaluation -> pack (the order
of it all).
"""

from pipeline.activations.block_cache import Circle as Circle
from pipeline.pack.pack import Pack as Pack
from pipeline.runtime import environment as environment  # bits do not follow the number of threads
