"""Where a process computes."""

import pytest
import torch

from pipeline.config.schema import Execution
from pipeline.errors import UserError
from pipeline.runtime import device
from pipeline.runtime.device import process_facts


def test_a_record_names_the_processor():
    facts = process_facts(torch.device("cpu"))
    assert facts["device"] == "cpu" and facts["hardware"].strip() == facts["hardware"] != ""
    assert "\n" not in facts["hardware"]


def test_a_gpu_that_triton_cannot_use_is_one_line(monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(device, "c_compiler", lambda: "gcc")
    if torch.cuda.device_count():
        pytest.skip("this machine's GPU is one that it can use")
    with pytest.raises(UserError, match=r"^Triton cannot use this machine's GPU: .+Python\.h") as raised:
        device.use_device(Execution(device="cuda"))
    assert "\n" not in str(raised.value)
    monkeypatch.setattr(device, "c_compiler", lambda: None)
    with pytest.raises(UserError, match="no C compiler"):
        device.use_device(Execution(device="cuda"))
