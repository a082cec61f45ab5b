"""Train the bundled language model: `make bundled-model` (hours on two cores; the result is committed).

A GPT-NeoX with sequential residuals and tied embeddings, on the bundled text, in contexts that begin with BOS and stay
inside one document. Hidden matrices are trained by Muon, the rest by AdamW; the checkpoint with the best validation
loss is kept.
"""

import argparse
import copy
import math
import time
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn

from pipeline.bundled.corpus import Split, documents

FOLDER = Path(__file__).parent / "model"
BOS = "<|bos|>"
CONTEXT, VOCABULARY = 256, 4096


def train_tokenizer() -> Tokenizer:
    """Byte-level BPE over the training text; token 0 is BOS."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[BOS], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator((text for _, text in documents("train")), trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, split: Split) -> list[Int[Tensor, " tokens"]]:
    """The tokens of each document of a split, without BOS."""
    return [torch.tensor(tokenizer.encode(text).ids) for _, text in documents(split)]


def with_bos(windows: Int[Tensor, "batch length"]) -> Int[Tensor, "batch context"]:
    return torch.cat([torch.zeros(len(windows), 1, dtype=windows.dtype), windows], dim=1)


class Windows:
    """Random windows of CONTEXT - 1 tokens, each inside one document, every token about equally often."""

    def __init__(self, tokenized: list[Int[Tensor, " tokens"]], seed: int) -> None:
        self.text = torch.cat(tokenized)
        starts, offset = [], 0
        for document in tokenized:
            starts.append(torch.arange(offset, offset + max(0, len(document) - CONTEXT + 2)))
            offset += len(document)
        self.starts = torch.cat(starts)
        self.generator = torch.Generator().manual_seed(seed)

    def batch(self, size: int) -> Int[Tensor, "batch context"]:
        chosen = self.starts[torch.randint(len(self.starts), (size,), generator=self.generator)]
        return with_bos(self.text[chosen[:, None] + torch.arange(CONTEXT - 1)])


class FastDropout(nn.Module):
    """Dropout whose mask comes from random bytes: ten times faster on a CPU than one Bernoulli draw an element.

    `random_` leaves the sign bit of its integers 0, so every eighth byte drops twice as often: at p = 0.1, 11.4 % are
    dropped and the mean is 1.4 % low. Kept as it is, since the committed weights were trained with it.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.dropped_bytes = round(p * 256)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.dropped_bytes:
            return x
        noise = torch.empty(x.numel() // 8, dtype=torch.int64).random_().view(torch.uint8)
        kept = (noise >= self.dropped_bytes).view(x.shape)
        return x * kept * (256 / (256 - self.dropped_bytes))


class FusedCrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of a tied read-out; logits are formed in chunks and the gradient in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Float[Tensor, "n d"], weight: Float[Tensor, "v d"], target: Int[Tensor, " n"]
    ) -> Tensor:
        h, w = hidden.detach().bfloat16(), weight.detach().bfloat16()
        grad_hidden, grad_weight = torch.empty_like(h), torch.zeros_like(weight)
        loss, chunk = torch.zeros(()), 256  # small enough that a chunk of logits stays in the cache
        logits_bf16, logits = h.new_empty(chunk, len(w)), torch.empty(chunk, len(w))
        for rows in torch.arange(len(h)).split(chunk):
            a, n = int(rows[0]), len(rows)
            low, high = logits_bf16[:n], logits[:n]
            high.copy_(torch.mm(h[a : a + n], w.T, out=low))
            log_z, wanted = high.logsumexp(1, keepdim=True), target[a : a + n, None]
            loss += (log_z - high.gather(1, wanted)).sum()
            probability = high.sub_(log_z).exp_().div_(len(h))
            probability.scatter_add_(1, wanted, torch.full((n, 1), -1 / len(h)))
            low.copy_(probability)
            torch.mm(low, w, out=grad_hidden[a : a + n])
            grad_weight += low.T @ h[a : a + n]
        ctx.save_for_backward(grad_hidden, grad_weight)
        return loss / len(h)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grads[0], grad_weight * grads[0], None


def build(layers: int, width: int, dropout: float) -> Any:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = GPTNeoXConfig(
        vocab_size=VOCABULARY, hidden_size=width, num_hidden_layers=layers, num_attention_heads=width // 64,
        intermediate_size=4 * width, hidden_act="gelu", rotary_pct=1.0, max_position_embeddings=CONTEXT,
        use_parallel_residual=False, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = GPTNeoXForCausalLM(config)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Dropout):
            model.set_submodule(name, FastDropout(dropout))
    return model


def training_loss(model: Any, tokens: Int[Tensor, "batch context"]) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.gpt_neox(tokens).last_hidden_state[:, :-1]
    weight, targets = model.get_output_embeddings().weight, tokens[:, 1:].flatten()
    loss: Tensor = FusedCrossEntropy.apply(hidden.flatten(0, 1), weight, targets)
    return loss


@torch.no_grad()
def evaluate(model: Any, tokenized: list[Int[Tensor, " tokens"]], stride: int = CONTEXT - 1) -> float:
    """Mean cross-entropy (nats per token) over disjoint contexts of all documents, short tails included."""
    model.eval()
    total, count = 0.0, 0
    for document in tokenized:
        windows = list(document.split(stride))
        full = [w for w in windows if len(w) == stride]
        batches = [torch.stack(full[i : i + 32]) for i in range(0, len(full), 32)]
        if len(windows[-1]) < stride:
            batches.append(windows[-1][None])
        for batch in batches:
            tokens = with_bos(batch)
            logits = model(tokens).logits[:, :-1].float()
            total += nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="sum").item()
            count += batch.numel()
    model.train()
    return total / count


def learning_rate(step: int, steps: int, warmup: int = 100) -> float:
    """Factor on the peak rate: linear warm-up, constant, linear to zero over the last half."""
    return min(1.0, (step + 1) / warmup, max(0.0, 2 * (1 - step / steps)))


def optimizers(model: Any, args: argparse.Namespace) -> list[torch.optim.Optimizer]:
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "layers" in n]
    rest = [p for n, p in model.named_parameters() if not (p.ndim == 2 and "layers" in n)]
    muon = torch.optim.Muon(matrices, lr=args.lr, weight_decay=args.weight_decay, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(rest, lr=args.lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True)]


def save(model: Any, tokenizer: Tokenizer, folder: Path) -> None:
    """A Hugging Face folder with float16 weights."""

    from transformers import PreTrainedTokenizerFast

    copy.deepcopy(model).half().save_pretrained(folder)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=BOS)
    wrapped.save_pretrained(folder)


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    tokenizer = train_tokenizer()
    train_text, validation_text = encode(tokenizer, "train"), encode(tokenizer, "validation")
    windows = Windows(train_text, args.seed)
    model = build(args.layers, args.width, args.dropout)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters:,} parameters, {len(windows.text):,} training tokens", flush=True)
    steps = math.ceil(args.epochs * len(windows.text) / (args.batch * (CONTEXT - 1)))
    best, started, opts = math.inf, time.perf_counter(), optimizers(model, args)
    for step in range(steps):
        for optimizer in opts:
            for group in optimizer.param_groups:
                group["lr"] = args.lr * learning_rate(step, steps)
        loss = training_loss(model, windows.batch(args.batch))
        loss.backward()
        for optimizer in opts:
            optimizer.step()
            optimizer.zero_grad()
        if step % 50 == 0:
            print(f"step {step}/{steps} loss {loss.item():.4f} {time.perf_counter() - started:.0f} s", flush=True)
        if (step + 1) % args.evaluate_every == 0 or step + 1 == steps:
            validation = evaluate(model, validation_text)
            print(f"step {step + 1} validation {validation:.4f}", flush=True)
            if validation < best:
                best = validation
                save(model, tokenizer, args.folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--epochs", type=float, default=12)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--evaluate-every", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
