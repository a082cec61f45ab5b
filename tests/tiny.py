"""A tiny language model and its text, for tests that train on them."""

from itertools import islice
from pathlib import Path

import torch

from pipeline.bundled.corpus import documents


def save_tiny_model(folder: Path) -> Path:
    """A randomly initialised two-layer NeoX, 32 wide, whose tokenizer was trained on some of the bundled text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=["<|bos|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator((text for _, text in islice(documents("train"), 3)), trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|bos|>", eos_token="<|bos|>").save_pretrained(
        folder
    )
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=512, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        hidden_act="gelu", max_position_embeddings=32, use_parallel_residual=False, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    GPTNeoXForCausalLM(config).save_pretrained(folder)
    return folder


def save_tiny_text(folder: Path) -> Path:
    """Some of the bundled text as local files, one document each."""
    for name, text in islice(documents("train"), 40):
        (folder / f"{name}.txt").write_text(text[:6000], encoding="utf-8")
    return folder
