"""Nothing that is read back is executed: the rule of contract 7, read off the code itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PIPELINE = Path(__file__).resolve().parent.parent / "pipeline"
UNPICKLING = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib", "pickletools"}
EXECUTING = {"eval", "exec", "compile", "__import__", "read_pickle", "unsafe_load", "full_load"}
SUBMITIT = {"launching/executors/slurm.py", "launching/worker.py"}
"""The only modules that may import submitit, whose own job files are pickles."""


def faults(source: str, name: str) -> Iterator[str]:
    """What in a module could execute what it reads."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for module in modules:
                top = module.partition(".")[0]
                if top in UNPICKLING or (top == "submitit" and name not in SUBMITIT):
                    yield f"{name}:{node.lineno} imports {module}"
            if isinstance(node, ast.ImportFrom) and (node.module or "") in {"torch", "numpy", "yaml"}:
                yield from (f"{name}:{node.lineno} hides whose load it is" for a in node.names if a.name == "load")
        elif isinstance(node, ast.Call) and _executes(node):
            yield f"{name}:{node.lineno} calls {ast.unparse(node)}"
        elif isinstance(node, ast.keyword) and node.arg in {"allow_pickle", "trust_remote_code"} and _on(node.value):
            yield f"{name}:{node.value.lineno} sets {node.arg}"


def _executes(call: ast.Call) -> bool:
    function = ast.unparse(call.func)
    if isinstance(call.func, ast.Name):
        return function in EXECUTING
    if function in {"torch.load", "torch.jit.load", "torch.hub.load", "torch.package.PackageImporter"}:
        safe = any(k.arg == "weights_only" and isinstance(k.value, ast.Constant) and k.value.value is True
                   for k in call.keywords)  # fmt: skip
        return not (function == "torch.load" and safe)
    if function in {"yaml.load", "yaml.load_all"}:
        return "SafeLoader" not in ast.unparse(call)
    return function.rpartition(".")[2] in EXECUTING - {"eval", "compile"}  # model.eval() and re.compile() are others


def _on(value: ast.expr) -> bool:
    return not (isinstance(value, ast.Constant) and not value.value)


def test_no_module_of_the_pipeline_could_execute_what_it_reads() -> None:
    files = sorted(PIPELINE.rglob("*.py"))
    assert len(files) > 50
    found = [f for file in files for f in faults(file.read_text(), file.relative_to(PIPELINE).as_posix())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from pickle import loads", "import os, dill", "import submitit", "torch.load(path)",
        "torch.load(path, weights_only=False)", "torch.load(path, weights_only=flag)", "torch.jit.load(path)",
        "from torch import load", "numpy.load(path, allow_pickle=True)", "np.load(path, allow_pickle=flag)",
        "pd.read_pickle(path)", "yaml.load(text)", "yaml.load(text, Loader=yaml.Loader)", "yaml.unsafe_load(text)",
        "eval(text)", "exec(text)", "def f():\n    import cloudpickle.cloudpickle",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
    ],
)  # fmt: skip
def test_the_rule_sees(source: str) -> None:
    assert list(faults(source, "tokens/text.py"))


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path, weights_only=True)", "np.load(path)", "np.load(path, allow_pickle=False)", "model.eval()",
        "re.compile(text)", "yaml.safe_load(text)", "yaml.load(text, Loader=yaml.SafeLoader)", "json.loads(text)",
    ],
)  # fmt: skip
def test_the_rule_lets_pass(source: str) -> None:
    assert not list(faults(source, "tokens/text.py"))


def test_submitit_is_where_its_job_files_are() -> None:
    assert not list(faults("import submitit", "launching/executors/slurm.py"))


def test_the_legacy_checkpoints_of_the_hub_are_read_without_unpickling() -> None:
    """The one .pth that TransformerLens reads for us (GELU-1L)."""
    from transformer_lens.model_bridge.sources import tl_legacy

    source = Path(tl_legacy.__file__).read_text()
    assert "torch.load(" in source and not list(faults(source, "tl_legacy.py"))
