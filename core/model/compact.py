"""Matrices in 16 or 8 bits, multiplied as float32: a block of rows at a time, never kept.

A block fits the processor's cache, so that turning it into float32 costs about as much as reading
it; a whole matrix turned at once has to travel to memory and back. Activations stay float32, so
that results are those of a float32 model with the same rounded weights. Weights get no gradient.

Why our own: measured on one product of 8 rows with a matrix of 11,008 x 4,096 on two cores,
forward / backward, optimum-quanto 0.2.7 takes 324 / 463 ms and torchao 0.18 takes 211 / 78 ms for
8-bit weights (both turn the whole matrix), where float32 takes 40 / 32 ms and this file 9 / 11 ms.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

BLOCK_BYTES = 2 * 2**20  # of float32; two of these fit the second-level cache of most processors
BLOCK_BYTES_ON_GPU = 512 * 2**20  # a graphics card wants few, large products
INT8_MOST = 127
SAMPLES = 256  # values of a weight that identify it, see core.model.fingerprint
HALVES = (torch.bfloat16, torch.float16)


def block_rows(matrix: Tensor) -> int:
    """How many rows of a matrix (row, column) are turned into float32 at a time."""
    size = BLOCK_BYTES if matrix.device.type == "cpu" else BLOCK_BYTES_ON_GPU
    return max(16, size // (4 * matrix.shape[1]))


def float_blocks(matrix: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The rows of a matrix as float32, block by block; each block is overwritten by the next."""
    step = block_rows(matrix)
    if matrix.dtype == torch.float32:
        for start in range(0, len(matrix), step):
            rows = slice(start, start + step)
            yield rows, matrix[rows]
        return
    shape = (min(step, len(matrix)), matrix.shape[1])
    scratch = torch.empty(shape, dtype=torch.float32, device=matrix.device)
    for start in range(0, len(matrix), step):
        rows = slice(start, start + step)
        part = matrix[rows]
        yield rows, scratch[: len(part)].copy_(part)


def times_rows(x: Tensor, matrix: Tensor) -> Tensor:
    """x M^T in float32: (n, column), (row, column) -> (n, row)."""
    out = x.new_empty(len(x), len(matrix))
    for rows, block in float_blocks(matrix):
        out[:, rows] = x @ block.mT
    return out


def sum_of_rows(x: Tensor, matrix: Tensor) -> Tensor:
    """x M in float32: (n, row), (row, column) -> (n, column)."""
    out = x.new_zeros(len(x), matrix.shape[1])
    for rows, block in float_blocks(matrix):
        out.addmm_(x[:, rows], block)
    return out


class Product(torch.autograd.Function):
    """A module's product with a gradient for its input, and none for its weight."""

    @staticmethod
    def forward(ctx, x: Tensor, module: CompactMatrix) -> Tensor:
        ctx.module = module
        return module.product(x, backward=False)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.module.product(gradient, backward=True), None


class CompactMatrix(nn.Module):
    """Stands in for a Linear, or for GPT-2's Conv1D, which stores its matrix as (d_in, d_out).

    The stored matrix keeps the layout of the module that it replaces. Input and output are float32.
    """

    def __init__(self, *, in_out: bool, bias: Tensor | None) -> None:
        super().__init__()
        self.in_out = in_out
        bias = None if bias is None else nn.Parameter(bias.float(), requires_grad=False)
        self.register_parameter("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.float().reshape(-1, x.shape[-1])
        out = Product.apply(flat, self)
        if self.bias is not None:
            out = out + self.bias
        return out.view(*x.shape[:-1], out.shape[-1])

    def product(self, x: Tensor, *, backward: bool) -> Tensor:
        """x (n, d_in) times the matrix, or backward a gradient (n, d_out) times its transpose."""
        if self.in_out != backward:
            return self.sum_of_rows(x)
        return self.times_rows(x)


class HalfMatrix(CompactMatrix):
    """A matrix in bfloat16 or float16: `weight` is what is stored."""

    def __init__(self, weight: Tensor, *, in_out: bool = False, bias: Tensor | None = None) -> None:
        super().__init__(in_out=in_out, bias=bias)
        stored = weight if isinstance(weight, nn.Parameter) else nn.Parameter(weight, False)
        self.weight = stored

    @property
    def stored_shape(self) -> torch.Size:
        return self.weight.shape

    def times_rows(self, x: Tensor) -> Tensor:
        return times_rows(x, self.weight)

    def sum_of_rows(self, x: Tensor) -> Tensor:
        return sum_of_rows(x, self.weight)


class Int8Matrix(CompactMatrix):
    """A matrix as whole numbers from -127 to 127 and one scale for each stored row."""

    def __init__(self, weight: Tensor, *, in_out: bool = False, bias: Tensor | None = None) -> None:
        """Rounds a matrix of any precision: each value moves by at most half its row's scale."""
        super().__init__(in_out=in_out, bias=bias)
        codes, scale = rounded(weight)
        self.codes = nn.Parameter(codes, requires_grad=False)  # (row, column), int8
        self.scale = nn.Parameter(scale, requires_grad=False)  # (row,), float32
        # Of the weight before it was rounded, for the model's fingerprint.
        self.register_buffer("sample", sample_of(weight), persistent=False)

    @property
    def stored_shape(self) -> torch.Size:
        return self.codes.shape

    @property
    def weight(self) -> Tensor:
        """The rounded matrix in float32, a new tensor: for reading, not for products."""
        return self.codes.float() * self.scale[:, None]

    def times_rows(self, x: Tensor) -> Tensor:
        return times_rows(x, self.codes).mul_(self.scale)

    def sum_of_rows(self, x: Tensor) -> Tensor:
        return sum_of_rows(x * self.scale, self.codes)


class CompactEmbedding(nn.Module):
    """An embedding whose matrix stays in 16 bits; what it reads out is float32."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        stored = weight if isinstance(weight, nn.Parameter) else nn.Parameter(weight, False)
        self.weight = stored

    def forward(self, ids: Tensor) -> Tensor:
        return nn.functional.embedding(ids, self.weight).float()


def rounded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(row, column) -> int8 codes and a scale a row, so that weight = codes * scale + error."""
    codes = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
    scale = torch.empty(len(weight), dtype=torch.float32, device=weight.device)
    for rows, block in float_blocks(weight):
        largest = torch.linalg.vector_norm(block, float("inf"), dim=1)
        scale[rows] = (largest / INT8_MOST).clamp_min(torch.finfo(torch.float32).tiny)
        codes[rows] = (block / scale[rows, None]).round_().clamp_(-INT8_MOST, INT8_MOST)
    return codes, scale


def sample_of(weight: Tensor) -> Tensor:
    """Up to 256 values from all over a weight, in bfloat16, the coarsest precision of a file."""
    flat = weight.detach().flatten()
    return flat[:: max(1, len(flat) // SAMPLES)][:SAMPLES].to(torch.bfloat16, copy=True)


def stores_in_out(module: nn.Module) -> bool:
    """Whether a matrix's module keeps it as (d_in, d_out) rather than (d_out, d_in)."""
    return isinstance(module, Conv1D) or (isinstance(module, CompactMatrix) and module.in_out)


def stored_shape(module: nn.Module) -> torch.Size:
    """The shape of a matrix as its module keeps it, without reading it."""
    return module.stored_shape if isinstance(module, CompactMatrix) else module.weight.shape


def compact_matrix(
    weight: Tensor, kind: str, *, in_out: bool, bias: Tensor | None
) -> CompactMatrix:
    """A matrix of a block in a compact kind: "int8", "bfloat16" or "float16"."""
    if kind == "int8":
        return Int8Matrix(weight, in_out=in_out, bias=bias)
    return HalfMatrix(weight.to(getattr(torch, kind)), in_out=in_out, bias=bias)
