"""The code words of the headline, explained: for the page and summary.md, next to the lines that use them."""

import re
from collections.abc import Iterable

WORDS = {
    "(N / M)": "features of the reference's SAEs / of the candidate's",
    "equal_width": "the reference has as many features as the candidate",
    "width_1.5": "the reference has 1.5 times as many features as the candidate: the paper's comparison",
    "equal_flops": "the operations that training computed are equal in both arms, within 10 %",
    "equal_seconds": "training took as many seconds in both arms, within 10 %, on the same kind of device",
    "equal_dense_flops": "the operations that training would take if no zero were skipped are equal in both arms,"
    " within 10 %; What training took has the operations it did take",
    "over sequences": "noise of the held-out text: its documents are resampled, the trained weights stay fixed",
    "over seeds": "noise of training: runs that differ only in their seed, on this text",
    "over both": "both kinds of noise, new trainings and new text; never narrower than either alone",
    "repeat, new seeds": "95 % range for the ratio if as many new seeds were trained, on this text",
    "seed noise": "the noise of training; measuring it takes three seeds",
    "other choices": "the lowest and the highest ratio that other choices of points, and of how to join them, give",
    "loss recovered": "the range that both fronts reach: 1 is no loss, 0 is what zero ablation of the site costs",
    "CE added": "the range that both fronts reach, in nats per prediction; used where loss recovered is refused",
    "above": "the candidate needs fewer features over the whole range that both fronts reach: the band lies above 1",
    "below": "the candidate needs more features over the whole range that both fronts reach",
    "crossing": "the candidate needs fewer features in one place and more in another",
    "undecided": "the band includes 1 somewhere and shows no crossing, at the level corrected for all questions",
    "for these SAEs": "holds on other text; how much another training would change it was not measured",
    "narrow": "over the range that both fronts reach, L0 changes by less than a quarter in both arms",
    "alive": "share of features that are alive, reference / candidate, over the points that the ratio rests on",
    "effective width": "number of features that do 99 % of the firing, reference / candidate, over the same points",
}
PATTERNS = {"(N / M)": r"\(\d+ / \d+\)"}


def explained(lines: Iterable[str]) -> list[tuple[str, str]]:
    """The words that these lines use, each with its meaning."""
    text = "\n".join(lines)
    return [(word, said) for word, said in WORDS.items() if re.search(PATTERNS.get(word, re.escape(word)), text)]
