"""Noise of the held-out text: documents drawn with replacement, the same ones for every run and for the clean and
ablated losses, so that what runs share cancels. Sequences of one document stay together: they are not independent.

A percentile interval from G documents is too narrow, by sqrt(1 - 1/G) and for lack of Student's t. Both are corrected
by stretching the quantiles about the estimate, with G - 1 degrees of freedom where G is the number of equally large
documents that would give a mean as precise.
"""

import math

import numpy as np
import numpy.typing as npt

from pipeline.analysis.curves import Floats
from pipeline.comparison.documents import Documents
from pipeline.comparison.t_distribution import t_quantile

LEVEL = 0.95
SEED = 20240424
"""Of the draws of documents: the same records give the same intervals."""
NORMAL_QUANTILE = 1.959963984540054
FEWEST_DOCUMENTS = 5
Rows = slice | npt.NDArray[np.intp]


def weights(documents: int, replicates: int) -> Floats:
    """[replicates, documents]: how often each document is drawn. The first row is the sample itself."""
    draws = np.random.default_rng(SEED).multinomial(documents, np.full(documents, 1 / documents), size=replicates)
    return np.concatenate((np.ones((1, documents)), draws)).astype(float)


def l0(sums: Documents, drawn: Floats, runs: Rows) -> Floats:
    """[replicates, runs] mean L0 over the drawn documents."""
    values: Floats = (drawn @ sums.l0[runs].T) / (drawn @ sums.tokens)[:, None]
    return values


def ce_sae(sums: Documents, drawn: Floats, runs: Rows) -> Floats:
    """[replicates, runs] cross-entropy with the SAE spliced in, summed over the drawn documents."""
    values: Floats = drawn @ sums.sae[runs].T
    return values


def loss_recovered(sums: Documents, drawn: Floats, spliced: Floats, ablation: str) -> Floats:
    """[replicates, runs] loss recovered over the drawn documents.

    Args:
        spliced: as `ce_sae` gives it.
    """
    clean, ablated = drawn @ sums.clean, drawn @ sums.ablated[ablation]
    values: Floats = (ablated[:, None] - spliced) / (ablated - clean)[:, None]
    return values


def delta_ce(sums: Documents, drawn: Floats, spliced: Floats) -> Floats:
    """[replicates, runs] cross-entropy with the SAE spliced in minus the clean one, nats per prediction.

    Args:
        spliced: as `ce_sae` gives it.
    """
    differences: Floats = (spliced - (drawn @ sums.clean)[:, None]) / (drawn @ sums.predictions)[:, None]
    return differences


def gap(sums: Documents, drawn: Floats, ablation: str) -> Floats:
    """[replicates] cross-entropy with the site ablated minus the clean one, nats per prediction."""
    gaps: Floats = (drawn @ (sums.ablated[ablation] - sums.clean)) / (drawn @ sums.predictions)
    return gaps


def gamma(sums: Documents, drawn: Floats, runs: Rows) -> Floats:
    """[replicates, runs] relative reconstruction bias over the drawn documents; NaN where no feature fires."""
    assert sums.xhat_xhat is not None and sums.x_xhat is not None
    with np.errstate(divide="ignore", invalid="ignore"):
        values: Floats = (drawn @ sums.xhat_xhat[runs].T) / (drawn @ sums.x_xhat[runs].T)
    return values


def freedom(sums: Documents) -> float:
    """Degrees of freedom of an interval over these documents."""
    return sums.effective - 1


def widening(sums: Documents) -> float:
    """By how much deviations of replicates are too small: the documents' own mean is fitted."""
    count = len(sums.predictions)
    return math.sqrt(count / (count - 1))


def stretch(sums: Documents) -> float:
    """By how much quantiles of replicates are to be stretched about the estimate."""
    return widening(sums) * t_quantile(0.5 + LEVEL / 2, freedom(sums)) / NORMAL_QUANTILE


def interval(estimate: Floats, replicates: Floats, factor: float) -> tuple[Floats, Floats]:
    """Lower and upper ends for each column of the replicates, whose quantiles are stretched by the factor."""
    tails = np.quantile(replicates - estimate, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=0)
    return estimate + factor * tails[0], estimate + factor * tails[1]
