"""Builds and registers the device of pretend.cpp, which stands in for a GPU: `register(folder)` makes "pretend" one."""

import os
import subprocess
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.cpp_extension import include_paths, library_paths

NAME = "pretend"
SOURCE = Path(__file__).with_name("pretend.cpp")
COMPILER = os.environ.get("CXX", "c++")


def register(folder: Path) -> torch.device:
    """Compile it, about ten seconds, and make it one of this process's devices, for good."""
    library = folder / "pretend.so"
    includes = [f"-isystem{path}" for path in include_paths()]
    command = [COMPILER, "-std=c++20", "-O0", "-fPIC", "-shared", *includes, str(SOURCE)]
    libraries = [f"-L{path}" for path in library_paths()] + ["-lc10", "-ltorch_cpu"]
    subprocess.run([*command, "-o", str(library), *libraries], check=True)
    torch.ops.load_library(library)
    torch.utils.rename_privateuse1_backend(NAME)
    torch._register_device_module(NAME, _module())  # type: ignore[no-untyped-call]
    return torch.device(NAME)


def _module() -> types.ModuleType:
    """As torch.cuda, of what the pipeline calls."""
    module = types.ModuleType(NAME)
    named: dict[str, Callable[..., Any]] = {
        "is_available": lambda: True, "device_count": lambda: 1, "current_device": lambda: 0,
        "set_device": lambda device: None, "synchronize": lambda: None,
        "_is_in_bad_fork": lambda: False, "manual_seed_all": lambda seed: None,
        "Stream": lambda: torch.Stream(device=NAME), "stream": lambda stream: stream,
        "current_stream": lambda: torch.accelerator.current_stream(),
    }  # fmt: skip
    vars(module).update(named)
    return module
