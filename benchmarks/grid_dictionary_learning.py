"""The grid by dictionary_learning's trainSAE: `python -m benchmarks.grid_dictionary_learning FOLDER`, in the peers'
environment.

Its buffer takes text only, and nnsight 0.3 takes no folder: the model is handed over as an object, and a subclass of
its buffer gives it token lists, as its tokenizer would. Settings: fp32, a buffer as large as our block, the batch of
the language model that the others have; its own `evaluate` with loss recovered, from a buffer of its own for each SAE.
"""

import resource
import sys
from collections.abc import Iterator
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks.grid_work import TOKENS, Result, Work
from benchmarks.peer_timing import Phases

OUR_NAMES = {
    "gated": {
        "encoder.weight": "W_enc", "decoder.weight": "W_dec", "decoder_bias": "b_dec", "gate_bias": "b_gate",
        "mag_bias": "b_mag", "r_mag": "r_mag",
    },
    "baseline": {"encoder.weight": "W_enc", "decoder.weight": "W_dec", "bias": "b_dec", "encoder.bias": "b_enc"},
}  # fmt: skip


def main(folder: Path) -> None:
    work, phases = Work.read(folder.parent), Phases()
    with phases.phase("load"):
        import torch
        from dictionary_learning import training
        from nnsight import LanguageModel
        from safetensors.torch import load_file, save_file
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(work.threads)
        tokens = load_file(folder.parent / TOKENS)
        loaded = AutoModelForCausalLM.from_pretrained(work.model, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(work.model)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        model = LanguageModel(loaded, tokenizer=tokenizer)
        submodule = _at(model, work.module)
    kinds = _trainers(phases)
    trained: list[Any] = []
    for cls, _ in kinds.values():
        original = cls.__init__

        def remember(this: Any, *args: Any, original: Any = original, **kwargs: Any) -> None:
            original(this, *args, **kwargs)
            trained.append(this)  # trainSAE returns nothing

        cls.__init__ = remember
    with phases.phase("stream and loop"):
        training.trainSAE(
            data=_buffer(phases, work, model, submodule, tokens["training"], work.block // work.context, work.batch),
            trainer_configs=[_config(work, kinds, *run) for run in work.runs()],
            steps=work.steps, normalize_activations=True, device="cpu", autocast_dtype=torch.float32,
        )  # fmt: skip
    with phases.phase("evaluation"):
        for (name, _, _), trainer in zip(work.runs(), trained, strict=True):
            _evaluate(phases, work, model, submodule, tokens["held_out"], name, trainer.ae)
    for (name, architecture, _), trainer in zip(work.runs(), trained, strict=True):
        names = OUR_NAMES[architecture]
        state = {ours: trainer.ae.state_dict()[theirs] for theirs, ours in names.items()}
        ours = {k: (v.T if v.ndim == 2 else v).contiguous() for k, v in state.items()}
        save_file(ours, folder / f"{name}.safetensors")
    Result(
        tool="dictionary_learning",
        versions={n: version(n) for n in ("dictionary-learning", "nnsight", "torch", "transformers")},
        settings={
            "learning rate": work.learning_rates["dictionary_learning"], "adam betas": "its own",
            "precision": "float32", "normalize_activations": True, "n_ctxs": work.block // work.context,
            "refresh_batch_size": work.lm_batch,
            "evaluation": "evaluate with loss recovered, a buffer for each SAE",
        },
        phases=dict(phases.seconds), by_arm={arm: phases.seconds[f"steps, {arm}"] for arm in work.widths},
        peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    ).write(folder)  # fmt: skip


def _at(model: Any, path: str) -> Any:
    for part in path.split("."):
        model = model[int(part)] if part.isdigit() else getattr(model, part)
    return model


def _trainers(phases: Phases) -> dict[str, tuple[Any, dict[str, Any]]]:
    from dictionary_learning.dictionary import AutoEncoder, GatedAutoEncoder
    from dictionary_learning.trainers.gdm import GatedSAETrainer
    from dictionary_learning.trainers.standard import StandardTrainer

    for cls, arm in ((GatedSAETrainer, "gated"), (StandardTrainer, "baseline")):
        phases.wrap(cls, "update", lambda _, arm=arm: f"steps, {arm}")
    return {
        "gated": (GatedSAETrainer, {"dict_class": GatedAutoEncoder}),
        "baseline": (StandardTrainer, {"dict_class": AutoEncoder}),
    }


def _config(work: Work, kinds: dict[str, Any], name: str, architecture: str, value: float) -> dict[str, Any]:
    cls, more = kinds[architecture]
    # Its inputs have a mean square norm of 1, ours of d_in: lambda follows the scale.
    config: dict[str, Any] = more | {
        "trainer": cls, "steps": work.steps, "activation_dim": work.d_in, "dict_size": work.widths[architecture],
        "layer": work.layer, "lm_name": "local", "lr": work.learning_rates["dictionary_learning"],
        "l1_penalty": value / work.d_in**0.5, "warmup_steps": work.warmup, "sparsity_warmup_steps": None,
        "decay_start": work.steps - work.decay, "seed": work.seed, "device": "cpu",
    }  # fmt: skip
    return config


def _buffer(
    phases: Phases, work: Work, model: Any, submodule: Any, rows: Any, contexts: int, batch: int
) -> Iterator[Any]:
    import torch
    from dictionary_learning.buffer import ActivationBuffer
    from transformers import BatchEncoding

    class Tokens(ActivationBuffer):
        """The buffer, reading token lists in place of text."""

        def text_batch(self, batch_size: int | None = None) -> Any:
            taken = torch.stack([next(self.data) for _ in range(batch_size or self.refresh_batch_size)])
            return BatchEncoding({"input_ids": taken, "attention_mask": torch.ones_like(taken)})

        def refresh(self) -> None:
            with phases.phase("language model"):
                super().refresh()

    return Tokens(
        cycle(rows), model, submodule, d_submodule=work.d_in, n_ctxs=contexts, ctx_len=work.context,
        refresh_batch_size=work.lm_batch, out_batch_size=batch, device="cpu", remove_bos=True,
    )  # fmt: skip


def _evaluate(phases: Phases, work: Work, model: Any, submodule: Any, rows: Any, name: str, ae: Any) -> None:
    from dictionary_learning.evaluation import evaluate

    per_batch = work.lm_batch * (work.context - 1)
    quiet = Phases()  # its forwards here are evaluation
    buffer = _buffer(quiet, work, model, submodule, rows, work.lm_batch * 2, per_batch)
    batches = work.held_out // work.lm_batch
    measured = evaluate(ae, buffer, max_len=work.context, batch_size=work.lm_batch, n_batches=batches)
    print(f"{name}: its own L0 {measured['l0']:.2f}, loss recovered {measured['frac_recovered']:.4f}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
