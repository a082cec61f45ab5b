"""Where a process computes."""

import torch

from pipeline.execution import process_facts


def test_a_record_names_the_processor():
    facts = process_facts(torch.device("cpu"))
    assert facts["device"] == "cpu" and facts["hardware"].strip() == facts["hardware"] != ""
    assert "\n" not in facts["hardware"]
