"""Every key of the configuration with every kind of wrong value: accepted where it can be meant, else one line."""

import copy
import math
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf, open_dict

from pipeline.cli.hydra_main import announce_plugins
from pipeline.cli.settings_help import described, settings, settings_of
from pipeline.cli.validate import checked_job, from_hydra, launcher_options
from pipeline.config.accepted import LARGEST
from pipeline.config.checked import parts
from pipeline.config.launcher import LAUNCHERS
from pipeline.errors import UserError
from pipeline.sae.registry import config_class, registered
from pipeline.storage.places import CONF

NULL = {"architecture.aux_k",
    "model.hub_id", "model.revision", "model.tokenizer_id", "model.shape", "model.shape.positions",
    "data.path", "data.dataset", "data.subset", "data.revision", "data.token_column", "data.document_column",
    "execution.threads",
    *(f"hydra.launcher.{name}" for name in (
        "runs_per_pack", "memory_gb", "slots", "partition", "account", "qos", "constraint", "nodelist", "exclude",
        "gpus_per_node", "gres", "mem_gb", "container_image",
    )),
}  # fmt: skip
"""Keys that may be null."""
ZERO = {"architecture.aux_k",
    "model.layer", "model.shape.d_mlp", "layer", "sparsity_coefficient", "seed", "train.lr_warmup", "train.lr_decay",
    "train.sparsity_warmup", "train.beta1", "train.beta2", "train.data_directions", "train.resample.lr_factor",
    "train.resample.lr_warmup", "execution.checkpoint_seconds", "data.validation_fraction",
    "hydra.launcher.retries", "hydra.launcher.gpus_per_node", "hydra.launcher.signal_delay_s",
    "hydra.launcher.settle_seconds",
}  # fmt: skip
"""Numbers that may be 0. None may be negative."""
NEVER: dict[Any, list[Any]] = {
    int: [-1, -(10**30), 10**30, 10**5000, LARGEST * 10, 1.5, 1.0, math.nan, math.inf, -math.inf, True, "", "x", "nan",
          "1.5", [], [1], {}, {"a": 1}],
    float: [-1, -0.5, -1e-300, 1e300, 10**400, 10**5000, math.nan, math.inf, -math.inf, "nan", "inf", "1e999", True, "",
            "x", [], [1], {}],
    bool: [0, 1, 2, -1, 0.0, math.nan, "", "maybe", "yes", "True", [], [True], {}],
    str: ["", "a\nb", "a\rb", "a\0b", "\x1b[31m", "a\u2028b", "\udcff", "a" * 5000, True, 1.5, math.nan, [], ["a"], {}],
    list: [1, 1.5, "", "x", "[1]", True, {}, {"a": 1}, [math.nan], [math.inf], [[1]], [{}], [None], [""], [True]],
    dict: [1, "x", True, [], ["x"], {"a b": 1}, {"a": "x\ny"}, {"a": [1]}, {"a": {}}, {"a": math.nan}, {"": 1}],
}  # fmt: skip
"""Values that no key of that type can mean."""


@pytest.fixture(scope="module")
def tree() -> dict[str, Any]:
    announce_plugins()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = OmegaConf.to_container(compose("config", ["train.resample.steps=[300]"]), resolve=True)
    composed["model"]["shape"] = {"n_layers": 4, "d_model": 256, "n_heads": 4, "d_head": 64, "d_mlp": 1024}
    return composed


def with_value(tree: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(tree)
    *sections, name = key.split(".")
    node = changed
    for section in sections:
        node = node[section]
    node[name] = value
    return changed


def is_refused(tree: dict[str, Any], key: str, value: Any) -> bool:
    """Whether the value is an error of one line that names the key; any other exception fails the test."""
    try:
        if key.startswith("hydra.launcher."):
            launcher_options(OmegaConf.create(tree | {key.rpartition(".")[2]: value}))
        else:
            checked_job(with_value(tree, key, value))
    except UserError as error:
        assert key in str(error) and len(str(error).splitlines()) == 1 and len(str(error)) < 700, (key, value, error)
        return True
    return False


def check_key(tree: dict[str, Any], key: str, hint: Any) -> None:
    bare, rules, _ = parts(hint)
    kind = get_origin(bare) or bare
    kind = list if kind is tuple else kind
    if kind is Literal:
        kind = str
        assert not any(is_refused(tree, key, word) for word in get_args(bare) if word not in {"hub", "files", "python"})
        assert is_refused(tree, key, "x")
    elif kind in (int, float, str):
        assert rules, f"{key} has no range, no set and no form next to its type"
    elif kind is list:
        assert parts(get_args(bare)[0])[1], f"the elements of {key} have no range, no set and no form"
    assert is_refused(tree, key, None) != (key in NULL), key
    for value in NEVER[kind]:
        assert is_refused(tree, key, value), (key, value)
    if kind in (int, float):
        assert is_refused(tree, key, 0) != (key in ZERO), key


def test_every_setting_refuses_what_cannot_be_meant(tree):
    sections = [key for key, hint in settings() if is_dataclass(parts(hint)[0])] + ["architecture"]
    assert len(sections) == 10
    for key in sections:
        for value in (5, 1.5, "x", "", True, [], [1], math.nan):
            assert is_refused(tree, key, value), (key, value)
        assert is_refused(tree, key, None) != (key in NULL), key
        assert is_refused(tree, f"{key}.foo", 1)
    keys = [(key, hint) for key, hint in settings() if key not in sections]
    assert len(keys) > 60
    for key, hint in keys:
        check_key(tree, key, hint)


@pytest.mark.parametrize("name", registered())
def test_every_setting_of_an_architecture_does(tree, name):
    changed = tree | {"architecture": {"name": name}}
    for key, hint in settings_of(config_class(name), "architecture"):
        check_key(changed, key, hint)


@pytest.mark.parametrize("name", LAUNCHERS)
def test_every_option_of_a_launcher_does(name):
    target = {"_target_": f"hydra_plugins.sae_launchers.{name}"}
    assert launcher_options(OmegaConf.create(target)) == LAUNCHERS[name]()
    for key, hint in settings_of(LAUNCHERS[name], "hydra.launcher"):
        check_key(target, key, hint)
    assert is_refused(target, "hydra.launcher.foo", 1)


NAMES = [
    "..",
    ".",
    "../x",
    "/x",
    "a/b",
    "a\\b",
    "-x",
    ".x",
    "a b",
    "a" * 101,
    "[/x]",
    "ä",
    "a\n",
    "~",
    "$x",
    "a*",
    "a:b",
]


@pytest.mark.parametrize(
    "key", ["sweep_name", "model.name", "site.name", "data.name", "architecture.name", "tracker.project"]
)
def test_names_are_slugs(tree, key):
    for name in NAMES:
        assert is_refused(tree, key, name), (key, name)
    if key != "architecture.name":  # one of those that are registered
        for name in ("a", "A.b-c_9", "9", "a" * 100, 7):
            assert not is_refused(tree, key, name), (key, name)


def test_a_sweep_is_not_called_as_a_folder_next_to_it(tree):
    assert all(is_refused(tree, "sweep_name", name) for name in ("runs", "shared", "RUNS"))


@pytest.mark.parametrize(
    ("key", "accepted", "refused"),
    [
        ("layer", [0, 3, "2"], []),
        ("seed", [0, 2**32 - 1], [2**32]),
        ("train.beta1", [0, 0.9, 0.999999], [1, 2]),
        ("train.lr", [1e-300, 1e-3, 1, 1e30], [0.0]),
        ("train.data_directions", [0, 0.99], [1]),
        ("train.resample.lr_factor", [0, 0.5, 1], [1.01]),
        ("train.resample.steps", [[], [1, 4999], [300, 200]], [[0], [5000], [-5], [1.5], [200, 5000]]),
        ("train.resample.inputs", [1, 32768], [32769]),
        ("train.lr_decay", [0, 4800], [4801, 5001]),
        ("train.steps", [5000, LARGEST], [LARGEST + 1, 300]),
        ("data.evaluation_fraction", [1e-6, 0.5, 0.999], [1, 2]),
        ("eval.prune_below", [[], [0.1], [0.1, 5]], [[0], [0.2, 0.1], [0.1, 0.1]]),
        ("data.validation_fraction", [0], [0.5, 1, 2]),  # the bundled text has validation text of its own
        ("eval.split", ["test", "validation"], ["train", "Test", "all"]),
        ("eval.alive_frequency", [1e-30, 1e-4, 0.999], [0, 1, 2]),
        ("eval.sequences", [16, 400], [8, 401]),
        ("execution.device", ["auto", "cpu", "cuda", "cuda:1"], ["gpu", "cuda:", "cuda:x", "cpu\n", "cuda:٣"]),
        ("execution.sweeps_dir", ["x", "/a b/ü", "x/" * 100], ["a" * 256, "x/" * 2000, "a\tb"]),
        ("site.hook", ["blocks.{layer}.hook_x"], ["blocks.3.x", "{layer}{layer}", "{}", "{0}", "{layer.__class__}",
                                                  "{layer!r}", "{layer:9}", "{{layer}}", "blocks.{layer}.{x}"]),
        ("plan", [True, False], ["true"]),
    ],
)  # fmt: skip
def test_limits_are_where_they_should_be(tree, key, accepted, refused):
    for value in accepted:
        assert not is_refused(tree, key, value), (key, value)
    for value in refused:
        assert is_refused(tree, key, value), (key, value)


@pytest.mark.parametrize(
    "data",
    [
        {"name": "mine", "source": "files", "path": "x"},
        {"name": "h", "source": "hub", "dataset": "a/b", "revision": "c"},
    ],
)
def test_validation_text_is_set_aside_before_it_is_judged_on(tree, data):
    asked = with_value(tree | {"data": data}, "eval.split", "validation")
    with pytest.raises(UserError, match=r"^eval\.split=validation, but data\.validation_fraction=0 leaves no .*=0\.5$"):
        checked_job(asked)
    for share in (1e-6, 0.5, 0.999):
        assert checked_job(with_value(asked, "data.validation_fraction", share)).run.data.validation_fraction == share
    assert is_refused(asked, "data.validation_fraction", 1) and is_refused(asked, "data.validation_fraction", -0.1)


def test_a_path_below_home_is_there(tree):
    for given, expected in (("~/x", str(Path.home() / "x")), ("~nobody-of-that-name/x", "~nobody-of-that-name/x")):
        assert checked_job(with_value(tree, "execution.sweeps_dir", given)).execution.sweeps_dir == expected


def test_numbers_have_their_types_however_they_are_written(tree):
    assert checked_job(with_value(tree, "execution.threads", "8")).execution.threads == 8
    assert checked_job(with_value(tree, "train.lr", "1e-3")).run.train.lr == 1e-3
    job = checked_job(with_value(tree, "sparsity_coefficient", 2))
    assert isinstance(job.run.sparsity_coefficient, float) and isinstance(job.run.architecture.expansion, float)
    assert str(checked_job(with_value(tree, "sparsity_coefficient", -0.0)).run.sparsity_coefficient) == "0.0"


def test_a_missing_value_and_a_near_miss_say_what_is_right(tree):
    with pytest.raises(UserError, match=r"^train\.steps has no value"):
        checked_job(with_value(tree, "train.steps", "???"))
    del (without := copy.deepcopy(tree))["train"]["lr"]
    with pytest.raises(UserError, match=r"^train\.lr has no value"):
        checked_job(without)
    with pytest.raises(UserError, match=r"^train\.resample\.windw is not a setting; did you mean window\?"):
        checked_job(with_value(tree, "train.resample.windw", 3))
    with pytest.raises(UserError, match="did you mean float32"):
        checked_job(with_value(tree, "train.precision", "floar32"))


def test_the_help_lists_every_setting_with_its_meaning_and_what_it_accepts():
    lines = dict(line.split(maxsplit=1) for line in described().splitlines())
    assert lines["train.lr"] == "learning rate of Adam; accepts: above 0, at most 1e38"
    assert lines["train.precision"].endswith("; accepts: float32, bfloat16")
    assert lines["execution.threads"].endswith("; accepts: at least 1, at most 4096, or null")
    assert {"architecture.expansion", "hydra.launcher.slots", "hydra.launcher.partition", "plan", "seed"} <= set(lines)


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.slow
def test_every_file_of_conf_is_accepted():
    groups = ("model", "site", "architecture", "data", "train", "eval", "tracker", "hydra/launcher")
    columns = [[f"{group}={name}" for name in choices(group)] for group in groups]
    rows = [[column[min(i, len(column) - 1)] for column in columns] for i in range(max(map(len, columns)))]
    rows += [[f"sweep={name}"] for name in choices("sweep")]
    announce_plugins()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for row in rows:
            paths = [f"{word.split('=')[0]}.path=x" for word in row if word in ("model=local", "data=files")]
            cfg = compose("config", [*row, *paths], return_hydra_config=True)
            launcher_options(cfg.hydra.launcher)
            with open_dict(cfg):
                del cfg["hydra"]
            from_hydra(cfg)


def test_a_folder_is_no_model_of_the_hub(tree):
    for key, value in (("hub_id", "somebody/something"), ("revision", "main"), ("legacy", True)):
        with pytest.raises(UserError, match=rf"^model\.{key}={value} is for a hub model, but model\.path is local"):
            checked_job(with_value(tree, f"model.{key}", value))
