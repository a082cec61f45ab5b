"""A pack: runs that one process trains together from one activation stream, evaluates together and records.

This room puts the others together. `pack` has the order of the work, `training` and `evaluation` its two parts, and
`states` the runs, and what happens when one fails.
"""

from pipeline.activations.block_cache import SharingGroup as SharingGroup
from pipeline.pack.pack import Pack as Pack
from pipeline.runtime import environment as environment  # bits do not follow the number of threads
