"""The code words of the headline, explained: for the page and summary.md, beside the lines that use them."""

import re
from collections.abc import Iterable

WORDS = {
    "(N / M)": "features of the baseline's SAEs / of gated's",
    "equal_width": "the baseline has as many features as gated",
    "width_1.5": "the baseline has 1.5 times as many features as gated: the paper's comparison",
    "equal_flops": "training takes as many products in both arms, within 10 %",
    "equal_seconds": "training took as many seconds in both arms, within 10 %, on the same kind of device",
    "over sequences": "95 % interval for the noise of the held-out text: its documents are resampled",
    "over seeds": "95 % interval for the noise of training: runs that differ by their seed alone",
    "seed noise": "the same noise of training; it takes five seeds to measure it",
    "loss recovered": "the range that both fronts reach: 1 is no loss, 0 is what ablating the site costs",
    "alive": "share of features that fire on some held-out token: baseline / gated, where the ratio is read off",
}
PATTERNS = {"(N / M)": r"\(\d+ / \d+\)"}


def explained(lines: Iterable[str]) -> list[tuple[str, str]]:
    """The words that these lines use, each with its meaning."""
    text = "\n".join(lines)
    return [(word, said) for word, said in WORDS.items() if re.search(PATTERNS.get(word, re.escape(word)), text)]
