"""Blocks of transformers: attention, and places as sines."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

# Width of a block's perceptron, as a multiple of a token's.
_RATIO = 4


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al., 2017) of tokens to others, or to each other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """Float [B, T, width] of tokens of that shape and others [B, U, width]."""
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in (self.query(tokens), *self.key_value(others).chunk(2, dim=2))
        )
        found = functional.scaled_dot_product_attention(q, k, v)
        return self.out(found.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and a perceptron, each normalised before (Xiong et al., 2020) and added.

    Parameters
    ----------
    width, heads
        Numbers of a token, and attention heads that they are shared out to.
    cross
        Whether tokens attend to others instead of each other.
    identity
        Whether what is added is zero at first, so that a stack learns as quickly as what is below.
    """

    def __init__(
        self, width: int, heads: int, *, cross: bool = False, identity: bool = True
    ) -> None:
        super().__init__()
        self.before = nn.LayerNorm(width)
        self.of_others = nn.LayerNorm(width) if cross else None
        self.attention = Attention(width, heads)
        self.between = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, _RATIO * width), nn.GELU(), nn.Linear(_RATIO * width, width)
        )
        for last in (self.attention.out, self.perceptron[-1]) if identity else ():
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(self, tokens: torch.Tensor, others: torch.Tensor | None = None) -> torch.Tensor:
        """Float [B, T, width] of tokens of that shape; ``others`` [B, U, width] where crossed."""
        seen = self.before(tokens)
        asked = seen if self.of_others is None else self.of_others(others)
        tokens = tokens + self.attention(seen, asked)
        return tokens + self.perceptron(self.between(tokens))


def sine_code(grid: tuple[int, ...], width: int) -> torch.Tensor:
    """Codes of the cells of a grid by their fractional places, float [cells, width].

    A picture is a volume of one slice in the middle, and a cell has the place of its centre as a
    fraction of the side, so that grids of all sizes and both dimensions share one code.

    Parameters
    ----------
    grid
        Cells along (z,) y and x.
    width
        A multiple of 6 is used whole; the rest is zero.
    """
    sides = (1,) * (3 - len(grid)) + tuple(grid)
    axes = [(torch.arange(n) + 0.5) / n for n in sides]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
    count = width // 6
    waves = 2.0 ** torch.linspace(0, 5, count) * math.pi
    angles = (places[:, :, None] * waves).flatten(1)
    code = torch.cat([angles.sin(), angles.cos()], dim=1)
    return functional.pad(code, (0, width - code.shape[1]))
