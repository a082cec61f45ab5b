"""What follows a wrong word in an error: the word that was probably meant, and all that are accepted."""

import difflib
from collections.abc import Sequence

ALIASES = {
    "lambda": "sparsity_coefficient", "lam": "sparsity_coefficient", "l1": "sparsity_coefficient",
    "l1_coefficient": "sparsity_coefficient", "l1_coeff": "sparsity_coefficient", "l1_penalty": "sparsity_coefficient",
    "sparsity": "sparsity_coefficient", "sparsity_penalty": "sparsity_coefficient",
    "lr": "train.lr", "learning_rate": "train.lr", "steps": "train.steps", "epochs": "train.steps",
    "num_steps": "train.steps", "max_steps": "train.steps", "n_steps": "train.steps", "tokens": "train.steps",
    "training_tokens": "train.steps", "total_training_tokens": "train.steps", "num_tokens": "train.steps",
    "batch_size": "train.batch", "train_batch_size": "train.batch", "bs": "train.batch", "warmup": "train.lr_warmup",
    "warmup_steps": "train.lr_warmup", "lr_warm_up_steps": "train.lr_warmup", "lr_decay_steps": "train.lr_decay",
    "width": "architecture.expansion", "d_sae": "architecture.expansion", "dict_size": "architecture.expansion",
    "expansion_factor": "architecture.expansion", "expansion": "architecture.expansion", "arch": "architecture",
    "sae": "architecture", "lm": "model", "model_name": "model", "dataset": "data", "dataset_path": "data.path",
    "text": "data", "hook": "site", "hook_name": "site", "hook_point": "site", "layers": "layer", "hook_layer": "layer",
    "context": "model.context", "context_size": "model.context", "context_length": "model.context",
    "ctx_len": "model.context", "dtype": "model.dtype", "device": "execution.device", "gpu": "execution.device",
    "threads": "execution.threads", "random_seed": "seed", "seeds": "seed", "name": "sweep_name",
    "dry_run": "plan", "output_dir": "execution.sweeps_dir", "out": "execution.sweeps_dir",
    "grids": "hydra.sweeper.grids", "params": "hydra.sweeper.params",
}  # fmt: skip
"""What other programs and papers call our settings."""


def did_you_mean(wrong: str, known: Sequence[str]) -> str:
    """`did you mean X? `, with a space after it, or nothing: X is what the word means elsewhere, or looks like it."""
    meant = _here(ALIASES.get(wrong.rpartition(".")[2].lower(), ""), known)
    near = [meant] if meant else difflib.get_close_matches(wrong, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]}? " if near else ""


def hint(wrong: str, accepted: Sequence[str], others: Sequence[str] = (), said: str = "accepted") -> str:
    """What follows a wrong word in an error: `; did you mean X? (accepted: X, Y)`; X may be one of the others."""
    near = did_you_mean(wrong, [*accepted, *others])
    return f"{f'; {near}' if near else ' '}({said}: {', '.join(accepted) or 'none'})"


def _here(meant: str, known: Sequence[str]) -> str:
    """The full key, where it or its section is among the known ones; inside its own section, the key's last part."""
    if meant in known or meant.partition(".")[0] in known:
        return meant
    last = meant.rpartition(".")[2]
    return last if last in known else ""
