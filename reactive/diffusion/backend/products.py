"""Products with small matrices in full float32.

On CUDA matrix products of float32 run in TF32, with the 10 bits of float16: the networks gain speed, but a coordinate in a picture
1,280 pixels wide would be off by half a pixel, and a palette by a tenth of a step of L*a*b*.
"""

from __future__ import annotations

from functools import reduce
from operator import add

import torch


def rows_times(rows: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Return rows [..., k] times a matrix [k, m], float32 [..., m].

    Parameters
    ----------
    matrix
        On the host, whatever the device of the rows.
    """
    if rows.device.type == "cpu":
        return rows @ matrix
    return torch.stack(
        [reduce(add, (rows[..., k] * value for k, value in enumerate(column))) for column in matrix.T.tolist()], dim=-1
    )


def times_columns(matrix: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return a matrix [m, k], on the host, times columns [n, k, l], float32 [n, m, l]."""
    if columns.device.type == "cpu":
        return matrix @ columns
    return torch.stack(
        [reduce(add, (columns[:, k] * value for k, value in enumerate(row))) for row in matrix.tolist()], dim=1
    )
