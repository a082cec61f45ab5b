"""The Hugging Face libraries: quiet in logs, and asked once whether the hub can be reached instead of retrying."""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.storage.places import door

TRIES, SECONDS = 2, 5.0


def quiet() -> None:
    """Keep the libraries' warnings and progress bars of loading out of logs: what matters is raised."""
    from huggingface_hub.utils import logging as of_hub  # imports take a second
    from transformers.utils import logging as of_transformers

    of_hub.set_verbosity_error()
    of_transformers.set_verbosity_error()
    of_transformers.disable_progress_bar()


@contextmanager
def hub_or_cache() -> Iterator[bool]:
    """Whether the hub can be reached; within, where it cannot, only its cache is read, as HF_HUB_OFFLINE=1 has it.

    The library would ask for each file six times, over 23 seconds, and has no setting for that.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    reached = not before and _reached()
    constants.HF_HUB_OFFLINE = not reached
    try:
        yield reached
    finally:
        constants.HF_HUB_OFFLINE = before


def _reached() -> bool:
    """By the library's own client, which knows of proxies and of HF_ENDPOINT; any answer will do."""
    from huggingface_hub import close_session, constants, get_session

    for _ in range(TRIES):
        try:
            get_session().head(constants.ENDPOINT, timeout=SECONDS)
        except Exception:  # of the client's library, which has changed its name before
            close_session()
        else:
            return True
    return False


def no_hub(source: str) -> str:
    """What a person can do without the hub."""
    return (
        f"the Hugging Face hub cannot be reached (or HF_HUB_OFFLINE is set), and its cache lacks {source}: bring it "
        f"with {door('prefetch')} on a machine that reaches the hub, or give model=local model.path=FOLDER"
    )


def shown(error: Exception) -> str:
    """The first paragraph of what a library says, in one line."""
    text = str(error).strip().partition("\n\n")[0].partition(" Available architectures:")[0]
    return textwrap.shorten(text, 300, placeholder=" ...") or type(error).__name__
