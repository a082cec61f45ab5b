"""What every column of runs.csv means, and what tables for people call the common ones. Without torch or pandas.

`plot_pareto.py` writes the guide to results/<sweep>/columns.csv beside runs.csv.
"""

import re
from collections.abc import Iterable

HEADINGS = {
    "d_sae": "width", "sparsity_coefficient": "lambda", "l0": "L0", "loss_recovered": "loss recovered",
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
    "sparsity_coefficient", "k", "topk", "top_k", "target_l0", "target", "target_sparsity", "sparsity", "l1",
    "l1_coefficient", "l1_penalty", "penalty", "coefficient", "alpha", "beta", "theta", "threshold", "bandwidth",
    "budget",
)  # fmt: skip
"""Columns that a front can be swept along; a sweep's runs have the first, tables may have others."""

HELD_OUT = "on the held-out text"
MEANINGS = {
    "run": "folder of the run, in sweeps/runs/",
    "sweep": "sweep that declares the run",
    "model": "language model: name and revision, or name and digest of a local folder",
    "site": "what is autoencoded: attn_z, mlp_out, mlp_post, resid_post",
    "layer": "layer of the site, from 0",
    "architecture": "how the SAE encodes and what loss trains it",
    "d_in": "width of the activations that the SAE reads",
    "d_sae": "number of features",
    "sparsity_coefficient": "lambda of the paper's equation 8, on inputs scaled as train.input_scale says",
    "seed": "seed of the weights and of the order of activations",
    "status": "done, running, waiting, failed or missing",
    "tokens": "activations that the SAE was trained on, repeats included",
    "l0": f"mean number of features that fire on a token, {HELD_OUT}",
    "loss_recovered": "(ce_zero - ce_sae) / (ce_zero - ce_clean): 1 is no loss, 0 that of zero ablation; not clipped",
    "loss_recovered_mean_ablation": "(ce_mean - ce_sae) / (ce_mean - ce_clean), not clipped",
    "ce_clean": "cross-entropy of the language model as it is, nats per prediction",
    "ce_sae": "cross-entropy with the SAE's reconstruction in place of the activations, nats per prediction",
    "ce_zero": "cross-entropy with zeros in place of the activations, nats per prediction",
    "ce_mean": "cross-entropy with the mean activation in place of the activations, nats per prediction",
    "gamma": "relative reconstruction bias, the paper's equation 9: below 1 where reconstructions shrink",
    "dead_fraction": "1 - alive_fraction",
    "fvu": "fraction of variance unexplained: squared error over centred variance",
    "delta_ce": "CE added: ce_sae - ce_clean, nats per prediction",
    "alive_fraction": "share of features that fire on at least eval.alive_frequency of the held-out tokens; unknown "
    "where these are too few to show it",
    "fired_fraction": "share of features that fired on at least one of the held-out tokens, more with more tokens",
    "effective_width": "the smallest number of features that do 99 % of all the firing",
    "training_seconds": "seconds of the run's own training steps, over all attempts",
    "training_flops": "floating-point operations of the matrix products that the run's training steps formed, forward "
    "and backward, silent features left out where a step left them out; re-initialisations of features not counted",
    "dense_flops": "the same had no step left anything out: 2 x products x train.batch x d_in x d_sae x train.steps",
    "on_frontier": "whether the run's point (its mean over seeds) is dominated by no other of its frontier",
    "reason": "why a run is failed or missing",
    "contexts_read": "contexts of the training text that the language model read",
    "epochs": "passes over the training text",
    "cosine": f"mean cosine of activation and reconstruction, {HELD_OUT}",
    "norm_ratio": f"mean ratio of the norms of reconstruction and activation, {HELD_OUT}",
    "gamma_dot": "another form of gamma: E[x_hat . x] / E||x||^2",
    "gamma_rms": "another form of gamma: sqrt(E||x_hat||^2 / (E||x||^2 - E||x - x_hat||^2))",
    "hook_name": "TransformerLens' name of the site",
    "input_scale": "factor on the activations while the SAE is trained; saved SAEs have it folded in",
    "mean_square_norm": "E||x||^2 of the activations before scaling",
    "sparsity_coefficient_unscaled": "lambda for activations as the model has them",
    "training_version": "raised by hand with each change that alters weights",
    "evaluation_version": "raised by hand when a metric is added or corrected",
    "evaluation_tokens": "held-out tokens that L0, gamma, FVU and dead features are counted over",
    "evaluation_predictions": "predictions that cross-entropies are averaged over",
    "evaluation.id": "hash of the evaluation's settings and tokens; runs are compared where it is the same",
    "evaluation.tokens": "hash of the held-out tokens",
    "evaluation.clean": "hash of the clean losses, which runs share",
    "evaluation.ablated": "hash of the ablated losses, which runs share",
    "evaluation.alive": "rule by which a feature is alive, or why that was not measured",
    "execution.device": "device of the last attempt",
    "execution.finished": "when the last attempt ended",
    "execution.hardware": "processor or GPU of the last attempt",
    "execution.host": "machine of the last attempt",
    "execution.peak_memory_bytes": "peak memory of the process that trained the run's pack, bytes",
    "execution.threads": "threads of the last attempt",
    "identity.data": "what names the training text in the run's identity, as JSON",
    "provenance.commit": "commit of the code that wrote the record",
    "provenance.dirty": "whether that code had changes that no commit holds",
    "provenance.python": "version of Python",
    "eval.prune_below": "thresholds below which activations were also set to zero",
    "source.row": "line of a table's row that is a point of its own",
    "architecture.expansion": "d_sae / d_in as configured",
    "architecture.stop_pre_bias": "whether b_dec learns from the reconstruction alone",
    "data.name": "name of the text",
    "data.source": "where the text comes from: bundled, files, hub or python",
    "data.dataset": "hub: the dataset",
    "data.subset": "hub: its configuration",
    "data.split": "hub: its split",
    "data.revision": "hub: its revision",
    "data.text_column": "column of the text",
    "data.token_column": "column of token ids that are read instead of text",
    "data.document_column": "files: rows with the same value in this column are one document",
    "data.split_documents": "files: what stands between the documents of one plain file",
    "data.encoding": "files: encoding of plain text, JSON and CSV",
    "data.separator": "token between documents that are joined: bos, eos or none",
    "data.packing": "whether a context stays inside one document, or documents are concatenated",
    "data.evaluation_documents": "hub: so many documents are held out",
    "data.evaluation_fraction": "files: share of the documents held out",
    "data.validation_fraction": "files, hub: share of the held-out documents that is validation text, and no test text",
    "eval.sequences": "held-out contexts",
    "eval.split": "test, or validation: the held-out text that settings are chosen on",
    "eval.alive_frequency": "share of the held-out tokens on which a feature must fire to be alive",
    "eval.batch": "contexts in one forward of the evaluation",
    "model.name": "name of the language model",
    "model.hub_id": "hub repository of the language model",
    "model.revision": "its revision",
    "model.tokenizer_id": "tokenizer, where it is not the model's own",
    "model.legacy": "whether it is a TransformerLens checkpoint",
    "model.dtype": "type of the language model's numbers",
    "model.context": "tokens of a context",
    "model.shape": "the language model's widths, where the configuration states them",
    "site.hook": "TransformerLens' name of the site, for any layer",
    "train.steps": "training steps",
    "train.batch": "activations per step",
    "train.lr": "learning rate",
    "train.lr_warmup": "steps of linear warm-up",
    "train.lr_decay": "last steps over which the learning rate falls to zero",
    "train.sparsity_warmup": "steps over which lambda rises to its value",
    "train.beta1": "Adam's beta1",
    "train.beta2": "Adam's beta2",
    "train.epsilon": "Adam's epsilon",
    "train.input_scale": "sqrt_d_in: inputs are scaled so that E||x||^2 = d_in; none: they are not",
    "train.b_dec_init": "start of b_dec: mean of the activations, or zero",
    "train.precision": "precision of matrix products",
    "train.tied_init": "whether W_enc starts along the transpose of W_dec",
    "train.encoder_norm": "norm of W_enc's columns at the start",
    "train.data_directions": "share of an activation's direction in each feature's at the start",
    "train.block": "activations shuffled together",
    "train.lm_batch": "contexts in one forward of the language model",
    "train.calibration": "activations that set scale and mean, and that resampling looks at",
    "train.resample.steps": "steps at which dead features are re-initialised",
    "train.resample.window": "steps without firing after which a feature counts as dead there",
    "train.resample.inputs": "activations whose loss decides what dead features become",
    "train.resample.encoder_norm": "norm of their encoder columns, in mean norms of alive ones",
    "train.resample.lr_factor": "factor on the learning rate after it",
    "train.resample.lr_warmup": "steps over which the learning rate then recovers",
}  # fmt: skip
PATTERNS = {
    r"(?P<name>.+)_(low|high)": "end of the 95 % interval of {name}, over documents of the held-out text",
    r"sparse_share_after_(?P<name>\d+)": "share of training steps after step {name} that left the zeros out",
    r"text_(?P<name>.+)": "count over the local text: {name}",
    r"provenance\.packages\.(?P<name>.+)": "version of {name}",
    r"model\.shape\.(?P<name>.+)": "the language model's {name}",
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
        return "setting that a table's fronts are swept along"
    first, _, rest = column.partition(".")
    return OTHERWISE.get(first, "") if rest else ""


def guide(columns: Iterable[str]) -> list[dict[str, str]]:
    """Rows of columns.csv: name in runs.csv, name in tables for people, meaning."""
    return [
        {"column": name, "heading": heading(name), "meaning": meaning(name) or "as the table gives it"}
        for name in columns
    ]
