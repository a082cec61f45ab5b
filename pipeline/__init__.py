"""From a grid of settings to a Pareto frontier of sparse autoencoders.

The rooms of this package, in the order of the data's path. Each imports from those before it and from no later one; the
doors (run.py, plot_pareto.py, ...) and hydra_plugins/ import from all.
"""

ROOMS = (
    "errors",  # what is the user's to mend, in one line
    "storage",  # files that are complete or absent, leases, where everything lies
    "config",  # what a run is: its settings, typed, and the values that they accept
    "runtime",  # the process and the machine: device, signals, streams
    "slurm",  # what Slurm says
    "bundled",  # the language model in the package, and its text
    "tokens",  # text in, contexts out
    "language_model",  # TransformerLens: activations at sites, losses with a site replaced
    "activations",  # blocks of activations in a seeded order, and the input scale
    "sae",  # architectures, the sparse step, kernels
    "training",  # optimizer, schedules, resampling, checkpoints, the loop over steps
    "evaluation",  # L0, loss recovered, gamma, from sums over sequences
    "records",  # what a run leaves on disk: identity, record, status
    "monitoring",  # progress, trackers, tables of runs
    "estimates",  # memory, FLOPs and disk, before anything runs
    "pack",  # runs that one process trains together
    "cli",  # from what a user types to a checked configuration
    "launching",  # which process trains which pack: here or on Slurm
    "diagnosis",  # what to change on a machine or cluster
    "analysis",  # records to tables, frontiers, curves
    "comparison",  # frontiers to ratios, intervals, verdicts
    "figures",  # the paper's figures, and others
    "report",  # summary, page and tables that people read
)
