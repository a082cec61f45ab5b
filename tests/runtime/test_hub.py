"""Without the Hugging Face hub: said at once, in one line."""

import time

import pytest
from huggingface_hub import constants

from pipeline.config.schema import ModelConfig
from pipeline.errors import UserError
from pipeline.runtime import hub
from pipeline.tokens.contexts import load_tokenizer


def test_without_the_hub_a_model_of_the_hub_is_one_line_at_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """Where nobody listens: no file is asked for again and again, and what to do is said."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    model = ModelConfig(name="far", hub_id="somebody/else", revision="main", context=32, layer=0)
    import transformers  # noqa: F401  # its import takes seconds, which are not counted

    began = time.monotonic()
    with pytest.raises(
        UserError, match=r"hub cannot be reached .+ lacks somebody/else: .+prefetch.+ model=local"
    ) as told:
        load_tokenizer(model)
    assert time.monotonic() - began < 15 and "\n" not in str(told.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("offline", "answers", "reached"), [(False, True, True), (False, False, False), (True, True, False)]
)
def test_the_cache_alone_is_read_where_the_hub_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, offline: bool, answers: bool, reached: bool
):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(hub, "_reached", lambda: answers)
    with hub.hub_or_cache() as found:
        assert found == reached and constants.HF_HUB_OFFLINE is not reached
    assert constants.HF_HUB_OFFLINE is offline
