"""What every column of the tables beside runs.csv means: results/<sweep>/*.csv, and history.csv of a run's folder."""

from pipeline.records.columns import meaning
from pipeline.storage import layout

PAIR = {
    "reference": "architecture that candidates are compared with",
    "candidate": "architecture that is compared with the reference",
    "comparison": "what makes the comparison of the two fronts fair: width_1.5 (the reference is 1.5 times as wide), "
    "equal_width, equal_flops, equal_seconds or equal_dense_flops",
    "scenario": "how small activations were treated: as trained, reference pruned or both pruned",
    "d_sae_reference": "number of the reference's features",
    "d_sae_candidate": "number of the candidate's features",
}
NOISE = {
    "noise": "what the interval covers: sequences (other held-out documents), seeds (other trainings) or both",
    "n_seeds": "number of seeds that every point of both fronts has",
    "note": "why there is no value or no interval",
}
ARMS = {
    "alive_reference": "mean alive fraction of the reference's points that the number rests on",
    "alive_candidate": "mean alive fraction of the candidate's points that the number rests on",
    "alive_reference_lowest": "lowest alive fraction among those points of the reference",
    "alive_candidate_lowest": "lowest alive fraction among those points of the candidate",
    "effective_reference": "mean effective width of the reference's points, features",
    "effective_candidate": "mean effective width of the candidate's points, features",
}
RATIO = {
    "ablation": "ablation that loss recovered refers to: zero or mean",
    "ratio_median": "L0 of the reference divided by L0 of the candidate, median along the shared range of fidelity; "
    "above 1: the candidate needs fewer features",
    "ratio_low": "lower end of the ratio's 95 % interval, for the noise of this row",
    "ratio_high": "upper end of the ratio's 95 % interval, for the noise of this row",
    "ratio_repeat_low": "lower end of the 95 % range for the ratio of a repeat with as many other seeds",
    "ratio_repeat_high": "upper end of the 95 % range for the ratio of a repeat with as many other seeds",
    "fidelity": "what the ratio is read along: loss_recovered, or delta_ce where loss recovered is not meaningful",
    "fidelity_low": "lower end of the shared range; with delta_ce, minus the cross-entropy added, nats per prediction",
    "fidelity_high": "upper end of the shared range; with delta_ce, minus the cross-entropy added, nats per prediction",
    "narrow": "whether both fronts change their L0 by less than a factor of 1.25 along the shared range",
}
FRONT = {
    "l0_low": "lowest L0 of the frontier, features per token",
    "l0_high": "highest L0 of the frontier, features per token",
    "loss_recovered_low": "lowest loss recovered of the frontier",
    "loss_recovered_high": "highest loss recovered of the frontier",
    "runs": "number of declared runs",
    "points": "number of points: means over seeds of finished runs",
    "dominated": "number of points that another point dominates",
    "died": "number of finished runs in which no feature fires",
    "failed": "number of failed runs",
    "missing": "number of runs that have not been started",
    "hypervolume": "area between the frontier and the reference point, decades of L0 times loss recovered",
    "reference_l0": "L0 of the hypervolume's reference point, features per token",
    "reference_loss_recovered": "loss recovered of the hypervolume's reference point",
}
VERDICTS = {
    "question": "direction (which front is better), half (does the candidate need about half the features) or "
    "shrinkage (does only the reference shrink)",
    "verdict": "answer at the 5 % level over all questions: above, below or crossing for direction, supported or "
    "contradicted otherwise, undecided, or not judged",
    "leaning": "answer that the evidence leans to, whatever its p-value",
    "p": "smallest level at which the evidence gives that answer; levels below 0.001 are written as 0.001",
    "p_adjusted": "the same, adjusted by Holm's method for all questions of the sweep",
    "questions": "number of questions that the adjustment covers",
    "trainings_measured": "whether the p-value includes the noise of training (several seeds)",
    "said": "the numbers behind the verdict, in words",
    "left_out": "why the question was not judged",
    "unfinished": "what is still missing of the two arms",
    "tokens_candidate_over_reference": "tokens that the candidate was trained on, divided by the reference's",
}
CURVE = {
    "ablation": RATIO["ablation"],
    "fidelity": RATIO["fidelity"],
    "at": "place along that fidelity; with delta_ce, minus the cross-entropy added, nats per prediction",
    "l0_reference": "L0 of the reference's front there, features per token",
    "l0_candidate": "L0 of the candidate's front there, features per token",
    "ratio": "l0_reference / l0_candidate",
    "ratio_low": "lower end of the 95 % band, which holds along the whole curve at once",
    "ratio_high": "upper end of the 95 % band, which holds along the whole curve at once",
    "noise": "what the band covers: sequences (other held-out documents) or both (other trainings too); empty: none",
    "about_half_judged": "whether the pair is judged on needing about half the features",
}
SAVED = {
    "saved_median": "cross-entropy that the candidate saves at equal L0, median along the shared range of L0, nats per "
    "prediction; loss recovered where no cross-entropy is known; above 0: the candidate is better",
    "saved_low": "lower end of the saving's 95 % interval, for the noise of this row",
    "saved_high": "upper end of the saving's 95 % interval, for the noise of this row",
    "saved_repeat_low": "lower end of the 95 % range for the saving of a repeat with as many other seeds",
    "saved_repeat_high": "upper end of the 95 % range for the saving of a repeat with as many other seeds",
    "l0_low": "lower end of the shared range of L0, features per token",
    "l0_high": "upper end of the shared range of L0, features per token",
    "ce_zero_minus_clean": "cross-entropy that zero ablation adds, nats per prediction",
}
AT_L0 = {
    "l0": "L0 at which the fronts are read, features per token; or a range that they are averaged over, in log L0",
    "arm": "reference, candidate, or difference (the reference minus the candidate)",
    "ce_added": "cross-entropy added there, nats per prediction",
    "ce_added_low": "lower end of its 95 % interval, for the noise of this row",
    "ce_added_high": "upper end of its 95 % interval, for the noise of this row",
    "share_of_clean": "ce_added divided by the language model's own cross-entropy",
}
HISTORY = {
    "step": "training steps taken so far",
    "tokens": "activations trained on so far, one per token",
    "loss": "training loss of this step's batch: reconstruction + sparsity_coefficient * sparsity + auxiliary",
    "reconstruction": "squared error of this step's batch, sum over dimensions, mean per activation, on scaled inputs",
    "sparsity": "sum of the penalised activations per token, before the factor lambda",
    "auxiliary": "auxiliary term of the loss; 0 for an architecture without one",
    "l0": "mean number of features that fire per token of this step's batch",
    "dead_fraction": "fraction of features that have not fired for train.resample.window steps",
    "lr": "learning rate of this step",
    "sparsity_coefficient": "lambda of this step, warm-up included",
    "sparse_steps": "steps so far that skipped inactive features",
}
HIT = {
    "compute_clean": "training compute at which the family of models has the loss ce_clean, in the family's unit",
    "compute_sae": "training compute at which the family of models has the loss ce_sae, in the family's unit",
    "multiplier": "compute_sae / compute_clean",
    "note": "why there is no multiplier",
}
POINT = {
    "arm": "architecture, with its width",
    "point": "number of the point; runs that differ only in their seed share it",
    "finished": "number of finished runs in the sweep",
    "panel": "title of the panel",
    "shade": "rank of lambda among the arm's, from 0 (smallest) to 1 (largest)",
    "runs": "names of the runs that the point is the mean of",
    "n_seeds": "number of runs that the point is the mean of",
    "log10_low": "lower end of the bin: log10 of the fraction of held-out tokens on which a feature fires; empty: none",
    "log10_high": "upper end of the bin, as log10_low",
    "features": "number of features in the bin",
    "penalty": "sparsity_coefficient * sparsity of this step",
    "above_gated": "loss recovered minus that of the gated front at the same L0 and width",
    "names": "every comparison under which the two fronts are compared",
    "prune_below": "threshold below which activations were set to zero; 0: none",
}
FIGURE = POINT | {name: HISTORY[name] for name in ("step", "loss", "reconstruction", "auxiliary")}
TABLES = {
    "frontier.csv": POINT | {"run": "folder of the point's first run, in sweeps/runs/"},
    "frontiers.csv": FRONT,
    "verdicts.csv": PAIR | VERDICTS,
    "l0_ratio.csv": PAIR | NOISE | ARMS | RATIO,
    "l0_ratio_curve.csv": PAIR | CURVE,
    "saved.csv": PAIR | NOISE | ARMS | SAVED,
    "ce_at_l0.csv": PAIR | NOISE | AT_L0,
    "robustness.csv": PAIR
    | {
        "alternative": "the choice that was changed; as it is: none",
        "ratio_median": RATIO["ratio_median"],
        "note": "why there is no ratio",
    },
    "pruning.csv": PAIR | NOISE | ARMS | RATIO,
    "compute_hit.csv": HIT,
    "documents.csv": {
        "document": "number of the held-out document",
        "tokens": "held-out tokens of the document that are evaluated",
    },
    layout.HISTORY: HISTORY,
    "figure_1.csv": FIGURE,
    "figure_6.csv": FIGURE,
    "figure_8.csv": FIGURE,
    "figure_9.csv": FIGURE,
    "figure_density.csv": FIGURE
    | {"alive_frequency": "fraction of the held-out tokens on which a feature must fire to be alive"},
    "figure_diagnostics.csv": FIGURE,
    "figure_l0_ratio.csv": FIGURE | PAIR | CURVE | {"seeds": "number of seeds of the finished runs"},
    "figure_pruning.csv": FIGURE,
    "figure_training.csv": FIGURE | {"l0": HISTORY["l0"]},
}
"""By table, the columns that runs.csv does not have, or in which they mean something else."""


def meaning_in(table: str, column: str) -> str:
    """What a column of one of TABLES means; empty where nothing is known of it."""
    return TABLES[table].get(column) or meaning(column)
