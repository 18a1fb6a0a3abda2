"""The loss: sum of the negative log likelihoods of the supervised tokens, without ever holding all logits.

Only positions that carry loss go through the output matrix, in chunks. A chunk's gradient is computed together with its
loss, so no logits are kept for the backward pass and none are computed twice (the way of Hsu et al. 2024, Liger, in plain
operations). What an architecture does to its logits (soft-capping, scaling) is done by its own code: the head is the
model itself with its decoder taken out.
"""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from pakar.train import masks
from pakar.train.batches import Batch
from pakar.train.noise import with_noise

LOGITS_IN_A_CHUNK = 2**24
"""Most logits held at once: 32 MiB in 16 bits, and as much again for their gradient."""
_IN_CACHE = 2**20
"""Logits turned into their gradient at once on a CPU."""


class Sums(NamedTuple):
    """What a pass adds to its step.

    Attributes:
        loss: Sum of the negative log likelihoods in nats, float32, carries the gradient.
        hits: How many supervised tokens were the likeliest ones; int64.
    """

    loss: torch.Tensor
    hits: torch.Tensor


class Objective(nn.Module):
    """A causal language model with its loss: what data-parallel wrappers should wrap.

    `forward` takes tensors and gives sums, so several processes only need to add what they get.

    Args:
        model: A transformers model, or a PEFT model around one.
        noise: Strength of the noise on word embeddings while training; see `noise.with_noise`.

    Attributes:
        packed: Rows hold several examples, told by their position ids; else one each, told by the attention mask.
    """

    def __init__(self, model: nn.Module, noise: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self.packed = True
        self.noise = noise

    def forward(self, batch: Batch) -> Sums:
        """Sums over the supervised tokens of `batch`."""
        hidden = self.hidden(batch).flatten(0, 1)
        chosen = hidden.index_select(0, batch.places)
        return supervised_sums(causal(self.model), chosen, batch.targets)

    def hidden(self, batch: Batch) -> torch.Tensor:
        """The decoder's last hidden states, [R, T, H]: causal within an example, and none sees another."""
        body: Any = decoder(causal(self.model))
        what = {"input_ids": batch.input_ids}
        if self.training and self.noise:
            embedded = body.get_input_embeddings()(batch.input_ids)
            what = {"inputs_embeds": with_noise(embedded, batch.position_ids, self.noise)}
        if not self.packed:
            hidden = body(**what, attention_mask=batch.attention_mask, use_cache=False)[0]
        else:
            positions = {"position_ids": batch.position_ids} if _takes_positions(body) else {}
            with masks.apart(masks.example_numbers(batch.position_ids)):
                hidden = body(**what, **positions, use_cache=False)[0]
        assert isinstance(hidden, torch.Tensor)  # noqa: S101 - narrows a type for the checker
        return hidden


def causal(model: Any) -> nn.Module:
    """The transformers model, with its adapters inside, that a PEFT model wraps; others as they are."""
    found = model.get_base_model() if hasattr(model, "get_base_model") else model
    assert isinstance(found, nn.Module)  # noqa: S101 - narrows a type for the checker
    return found


def decoder(model: nn.Module) -> PreTrainedModel:
    """The part of a causal language model that ends with hidden states."""
    found = getattr(model, str(getattr(model, "base_model_prefix", "")), None)
    if not isinstance(found, PreTrainedModel):
        raise TypeError(f"{type(model).__name__} has no decoder of its own")
    return found


def head(model: nn.Module) -> nn.Module:
    """`model` with a decoder that hands its input through: hidden states to logits, by the model's own code."""
    bare = copy.copy(model)
    bare._modules = {**model._modules, str(model.base_model_prefix): _Through()}
    bare._forward_hooks, bare._forward_pre_hooks = type(bare._forward_hooks)(), type(bare._forward_pre_hooks)()
    return bare


def supervised_sums(model: nn.Module, hidden: torch.Tensor, targets: torch.Tensor) -> Sums:
    """Loss and hits of chosen positions.

    Args:
        model: The whole causal language model.
        hidden: [N, H]; the decoder's hidden states at the positions that carry loss.
        targets: [N]; the next token there.
    """
    output = head(model)
    weights = [weight for weight in output.parameters() if weight.requires_grad]
    chunk = chunk_of(model.config)  # type: ignore[arg-type]
    if not torch.is_grad_enabled():
        return Sums(*_without_gradient(output, hidden, targets, chunk))
    return Sums(*_InChunks.apply(output, chunk, hidden, targets, *weights))  # type: ignore[no-untyped-call]


def chunk_of(config: PretrainedConfig) -> int:
    """Positions whose logits are held at once."""
    return max(1, LOGITS_IN_A_CHUNK // int(config.vocab_size))


def _takes_positions(body: nn.Module) -> bool:
    """Whether the architecture has positions at all; BLOOM has only distances."""
    return "position_ids" in inspect.signature(body.forward).parameters


@dataclass
class _Hidden(BaseModelOutputWithPastAndCrossAttentions):
    router_logits: Any = None


class _Through(nn.Module):
    """Stands where the decoder was."""

    def forward(self, *_: Any, inputs_embeds: torch.Tensor, **__: Any) -> _Hidden:
        return _Hidden(last_hidden_state=inputs_embeds)


def _logits(output: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    """[N, H] → [1, N, vocabulary]."""
    logits = output(inputs_embeds=hidden[None], use_cache=False).logits
    assert isinstance(logits, torch.Tensor)  # noqa: S101 - narrows a type for the checker
    return logits


class _Found(NamedTuple):
    """Of some positions: loss in nats, hits, and the loss's gradient by their logits, [N, vocabulary], in these' format."""

    loss: torch.Tensor
    hits: torch.Tensor
    gradient: torch.Tensor


def _cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> _Found:
    """Softmax and its gradient in float32 with few passes over memory: on a CPU some rows at a time, which stay in its cache."""
    loss = torch.zeros((), device=logits.device)
    hits = torch.zeros((), dtype=torch.long, device=logits.device)
    gradient = torch.empty_like(logits)
    rows = max(1, _IN_CACHE // logits.shape[-1]) if logits.device.type == "cpu" else max(1, len(logits))
    for start in range(0, len(logits), rows):
        here = slice(start, start + rows)
        wide, wanted = logits[here].float(), targets[here, None]
        top, likeliest = wide.max(-1, keepdim=True)
        found = wide.gather(-1, wanted)
        shares = (wide - top).exp_()
        total = shares.sum(-1, keepdim=True)
        loss += (total.log() + top - found).sum()
        hits += (likeliest == wanted).sum()
        gradient[here] = shares.div_(total).scatter_add_(-1, wanted, -torch.ones_like(found))
    return _Found(loss, hits, gradient)


def _without_gradient(
    output: nn.Module, hidden: torch.Tensor, targets: torch.Tensor, chunk: int
) -> tuple[torch.Tensor, torch.Tensor]:
    loss = torch.zeros((), device=hidden.device)
    hits = torch.zeros((), dtype=torch.long, device=hidden.device)
    for part, wanted in zip(torch.split(hidden, chunk), torch.split(targets, chunk), strict=True):
        logits = _logits(output, part)[0].float()
        loss = loss + functional.cross_entropy(logits, wanted, reduction="sum")
        hits = hits + (logits.argmax(-1) == wanted).sum()
    return loss, hits


class _InChunks(torch.autograd.Function):
    """Loss and hits; the gradients by hidden states and head weights are computed with them, chunk by chunk."""

    @staticmethod
    def forward(
        ctx: Any, output: nn.Module, chunk: int, hidden: torch.Tensor, targets: torch.Tensor, *weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        loss = torch.zeros((), device=hidden.device)
        hits = torch.zeros((), dtype=torch.long, device=hidden.device)
        by_hidden = torch.zeros_like(hidden)
        by_weights = [torch.zeros_like(weight) for weight in weights]
        for start in range(0, len(targets), chunk):
            here = slice(start, start + chunk)
            part = hidden[here].detach().requires_grad_()
            with torch.enable_grad():
                logits = _logits(output, part)
            found = _cross_entropy(logits.detach()[0], targets[here])
            by_part, *by = torch.autograd.grad(logits, (part, *weights), found.gradient[None], allow_unused=True)
            by_hidden[here] = by_part
            for total, gradient in zip(by_weights, by, strict=True):
                if gradient is not None:
                    total.add_(gradient)
            loss, hits = loss + found.loss, hits + found.hits
        ctx.save_for_backward(by_hidden, *by_weights)
        ctx.mark_non_differentiable(hits)
        return loss, hits

    @staticmethod
    def backward(ctx: Any, factor: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        by_hidden, *by_weights = ctx.saved_tensors
        return None, None, by_hidden * factor, None, *(gradient * factor for gradient in by_weights)
