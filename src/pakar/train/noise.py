"""NEFTune: noise on word embeddings while training, against over-fitting (Jain et al. 2023)."""

from __future__ import annotations

import torch


def example_lengths(position_ids: torch.Tensor) -> torch.Tensor:
    """[R, T] → [R, T]: for every position the length of the sequence (or padding) that it belongs to."""
    flat = position_ids.flatten()
    number = (flat == 0).cumsum(0) - 1
    return torch.bincount(number)[number].view_as(position_ids)


def with_noise(embedded: torch.Tensor, position_ids: torch.Tensor, strength: float) -> torch.Tensor:
    """Embeddings plus uniform noise of alpha / √(L · H) either way (equation 1), L being the example's own length.

    Args:
        embedded: [R, T, H].
        position_ids: [R, T]; beginning at 0 with every example.
        strength: alpha. The noise comes from torch's own generator, so a resumed training draws the same.
    """
    reach = strength / (example_lengths(position_ids) * embedded.shape[-1]).float().sqrt()
    noise = torch.empty_like(embedded, dtype=torch.float32).uniform_(-1, 1) * reach[..., None]
    return embedded + noise.to(embedded.dtype)
