"""The C compiler that Triton needs to start a GPU's loops."""

import os
import shutil

MISSING = "no C compiler, which Triton needs to start what it runs there: install gcc or clang, or set CC"


def c_compiler() -> str | None:
    return os.environ.get("CC") or shutil.which("clang") or shutil.which("gcc")
