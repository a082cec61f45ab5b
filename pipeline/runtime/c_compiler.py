"""The C compiler that Triton starts a GPU's loops with."""

import os
import shutil

MISSING = "no C compiler, which Triton needs to start what it runs there: install gcc or clang, or set CC"


def c_compiler() -> str | None:
    return os.environ.get("CC") or shutil.which("clang") or shutil.which("gcc")
