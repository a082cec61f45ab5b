"""What every column of runs.csv means, and what tables for people call the common ones. Without torch or pandas.

`plot_pareto.py` writes the guide to results/<sweep>/columns.csv, next to runs.csv. The columns of all other tables are
in `pipeline.records.table_columns`.
"""

import re
from collections.abc import Iterable

from pipeline.config.meanings import OF_RUNS

HEADINGS = {
    "d_sae": "width", "sparsity_coefficient": "lambda", "architecture.k": "k",
    "architecture.target_l0": "target L0", "l0": "L0", "loss_recovered": "loss recovered",
    "loss_recovered_mean_ablation": "by mean ablation", "ce_sae": "CE", "delta_ce": "CE added",
    "alive_fraction": "alive", "fired_fraction": "fired", "effective_width": "effective width", "fvu": "FVU",
    "on_frontier": "on the front",
}  # fmt: skip
"""By column: its name in every table for people, on the screen and on the page. Others keep their own."""
FORMS = {
    "sparsity_coefficient": "{:g}", "l0": "{:.2f}", "loss_recovered": "{:.4f}",
    "loss_recovered_mean_ablation": "{:.4f}", "ce_sae": "{:.4f}", "delta_ce": "{:.5f}", "gamma": "{:.3f}",
    "alive_fraction": "{:.1%}", "fired_fraction": "{:.1%}", "effective_width": "{:,.0f}", "fvu": "{:.4f}",
}  # fmt: skip
"""How their numbers look there."""

AXES = (
    "sparsity_coefficient", "architecture.k", "architecture.target_l0", "k", "topk", "top_k", "target_l0", "target",
    "target_sparsity", "sparsity", "l1", "l1_coefficient", "l1_penalty", "penalty", "coefficient", "alpha", "beta",
    "theta", "threshold", "bandwidth", "budget",
)  # fmt: skip
"""Columns that a front can be swept along; runs have one of the first three, tables may have others."""

HELD_OUT = "on the held-out text"
MEASURED = {
    "run": "folder of the run, in sweeps/runs/",
    "sweep": "sweep that declares the run",
    "model": "language model: name and revision, or name and digest of a local folder",
    "site": "which activations the SAE reads: attn_z, mlp_out, mlp_post or resid_post",
    "architecture": "how the SAE encodes and which loss trains it",
    "d_in": "width of the activations that the SAE reads",
    "d_sae": "number of features",
    "status": "done, running, waiting, failed or missing",
    "tokens": "activations that the SAE was trained on, one per token, repeats included",
    "l0": f"mean number of features that fire per token, {HELD_OUT}",
    "loss_recovered": "(ce_zero - ce_sae) / (ce_zero - ce_clean): 1 means no loss, 0 as bad as zero ablation; not "
    "clipped",
    "loss_recovered_mean_ablation": "(ce_mean - ce_sae) / (ce_mean - ce_clean): 1 means no loss, 0 as bad as mean "
    "ablation; not clipped",
    "ce_clean": "cross-entropy of the unchanged language model, nats per prediction",
    "ce_sae": "cross-entropy with the SAE's reconstruction in place of the activations, nats per prediction",
    "ce_zero": "cross-entropy with zeros in place of the activations, nats per prediction",
    "ce_mean": "cross-entropy with the mean activation in place of the activations, nats per prediction",
    "gamma": "relative reconstruction bias, the paper's equation 9: below 1 where reconstructions shrink",
    "dead_fraction": "fraction of features that are not alive: 1 - alive_fraction",
    "fvu": "fraction of variance unexplained: squared error divided by the activations' variance",
    "delta_ce": "cross-entropy added: ce_sae - ce_clean, nats per prediction",
    "alive_fraction": "fraction of features that fire on at least eval.alive_frequency of the held-out tokens; empty "
    "where there are too few tokens to tell",
    "fired_fraction": "fraction of features that fire on at least one held-out token; grows with their number",
    "effective_width": "smallest number of features that do 99 % of all the firing",
    "training_seconds": "seconds of the run's own training steps, over all attempts",
    "training_flops": "floating-point operations of the matrix products in the run's training steps, forward and "
    "backward; without inactive features where a step skipped them, and without resampling",
    "dense_flops": "training_flops if no step had skipped anything: 2 x products x train.batch x d_in x d_sae x "
    "train.steps",
    "on_frontier": "whether no other point of its frontier dominates the run's point (its mean over seeds)",
    "reason": "why a run is failed or missing",
    "contexts_read": "contexts of the training text that the language model read",
    "epochs": "passes over the training text",
    "cosine": f"mean cosine between activation and reconstruction, {HELD_OUT}",
    "norm_ratio": f"mean ratio of the reconstruction's norm to the activation's, {HELD_OUT}",
    "gamma_dot": "another form of gamma: E[x_hat . x] / E||x||^2",
    "gamma_rms": "another form of gamma: sqrt(E||x_hat||^2 / (E||x||^2 - E||x - x_hat||^2))",
    "hook_name": "TransformerLens' name of the site in this layer",
    "input_scale": "factor on the activations during training; it is folded into the saved SAE",
    "mean_square_norm": "E||x||^2 of the activations before scaling",
    "sparsity_coefficient_unscaled": "lambda for unscaled activations",
    "training_version": "version of the training code, raised by hand with each change that alters weights",
    "evaluation_version": "version of the evaluation code, raised by hand when a metric is added or corrected",
    "evaluation_tokens": "held-out tokens that L0, gamma, FVU and dead features are counted over",
    "evaluation_predictions": "held-out predictions that cross-entropies are averaged over",
    "evaluation.id": "hash of the evaluation's settings and tokens; only runs with the same one are compared",
    "evaluation.tokens": "hash of the held-out tokens",
    "evaluation.clean": "hash of the clean losses, which runs share",
    "evaluation.ablated": "hash of the ablated losses, which runs share",
    "evaluation.alive": "rule by which a feature counts as alive, or why that was not measured",
    "execution.device": "device of the last attempt",
    "execution.finished": "time at which the last attempt ended, with its offset from UTC",
    "execution.hardware": "processor or GPU of the last attempt",
    "execution.host": "machine of the last attempt",
    "execution.peak_memory_bytes": "peak memory of the process that trained the run's pack, bytes",
    "execution.threads": "CPU threads of the last attempt",
    "identity.data": "the training text as the run's identity names it, as JSON",
    "provenance.commit": "commit of the code that wrote the record",
    "provenance.dirty": "whether that code had uncommitted changes",
    "provenance.python": "version of Python",
    "source.row": "line of a table's row that is a point of its own",
}  # fmt: skip
MEANINGS = MEASURED | {
    key: words for key, words in OF_RUNS.items() if key not in {"model.path", "data.path", "model.layer", "site.name",
                                                                "architecture.name"}
}  # fmt: skip
"""By column of runs.csv; a setting's column has the setting's path."""
PATTERNS = {
    r"(?P<name>.+)_low": "lower end of the 95 % interval of {name}, over documents of the held-out text",
    r"(?P<name>.+)_high": "upper end of the 95 % interval of {name}, over documents of the held-out text",
    r"sparse_share_after_(?P<name>\d+)": "fraction of the steps after step {name} that skipped inactive features",
    r"text_(?P<name>.+)": "count over the local text: {name}",
    r"provenance\.packages\.(?P<name>.+)": "version of the package {name}",
}
"""Columns that come in families."""
OTHERWISE = {
    "architecture": "setting of the architecture", "train": "setting of training", "data": "setting of the text",
    "model": "setting of the language model", "eval": "setting of the evaluation", "site": "setting of the site",
}  # fmt: skip
"""By the beginning of a setting's path: what is said of one that is not listed, as of a user's own architecture."""


def heading(column: str) -> str:
    return HEADINGS.get(column, column)


def meaning(column: str) -> str:
    """A column of runs.csv in words; empty where nothing is known of it."""
    if column in MEANINGS:
        return MEANINGS[column]
    for pattern, words in PATTERNS.items():
        if found := re.fullmatch(pattern, column):
            return words.format(name=found["name"])
    if column in AXES:
        return "setting that the fronts of the table are swept along"
    first, _, rest = column.partition(".")
    return OTHERWISE.get(first, "") if rest else ""


def guide(columns: Iterable[str]) -> list[dict[str, str]]:
    """Rows of columns.csv: name in runs.csv, name in tables for people, meaning."""
    return [
        {"column": name, "heading": heading(name), "meaning": meaning(name) or "as the table gives it"}
        for name in columns
    ]
