"""The code words of the headline, explained: for the page and summary.md, next to the lines that use them."""

import re
from collections.abc import Iterable

WORDS = {
    "(N / M)": "features of the reference's SAEs / of the candidate's",
    "equal_width": "the reference has as many features as the candidate",
    "width_1.5": "the reference has 1.5 times as many features as the candidate: the paper's comparison",
    "equal_flops": "the products that training formed took as many operations in both arms, within 10 %",
    "equal_seconds": "training took as many seconds in both arms, within 10 %, on the same kind of device",
    "equal_dense_flops": "training would take as many operations in both arms, within 10 %, if no zero were left out;"
    " what it did take stands under What training took",
    "over sequences": "for the noise of the held-out text: its documents are resampled, the trained weights stay",
    "over seeds": "for the noise of training: runs that differ by their seed alone, on this text",
    "over both": "for both: the mean over new trainings and new text; never narrower than either part",
    "a repeat": "where a repeat of the sweep with as many other seeds would put the ratio on this text, in 95 of 100",
    "seed noise": "the noise of training; it takes three seeds to measure it",
    "other choices": "the lowest and the highest ratio that other choices of points, and of how to join them, give",
    "loss recovered": "the range that both fronts reach: 1 is no loss, 0 is what zero ablation of the site costs",
    "CE added": "the range that both fronts reach, nats a prediction; it stands where loss recovered is refused",
    "above": "the candidate needs fewer features all along what the fronts share: the band lies above 1 everywhere",
    "below": "the candidate needs more features all along what the fronts share",
    "crossing": "the candidate needs fewer features in one place and more in another",
    "undecided": "the band includes 1 somewhere and shows no crossing, at the level that so many questions leave it",
    "for these SAEs": "on other text; how far another training would move it was not measured",
    "narrow": "L0 of neither arm changes by a quarter along what the fronts share",
    "alive": "share of features that are alive, reference / candidate, over the points that the ratio rests on",
    "effective width": "features that do 99 % of the firing, reference / candidate, over the same points",
}
PATTERNS = {"(N / M)": r"\(\d+ / \d+\)"}


def explained(lines: Iterable[str]) -> list[tuple[str, str]]:
    """The words that these lines use, each with its meaning."""
    text = "\n".join(lines)
    return [(word, said) for word, said in WORDS.items() if re.search(PATTERNS.get(word, re.escape(word)), text)]
