"""Who gets what, if every pair has a price: a minimum-cost assignment of a sparse bipartite graph. Pure arithmetic.

A graph falls into components that have nothing to do with each other; most of them are small. A component in which
everybody's cheapest is another one is solved by that; others by ``scipy.optimize.linear_sum_assignment``, or, where
they are large and thin, by its sparse sister (the same shortest augmenting paths over the edges alone).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

__all__ = ["Solution", "cheapest_first", "solve"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

DENSE_CELLS: Final = 40_000
"""A component whose matrix has no more cells is solved as a matrix."""
DENSE_SECONDS: Final = 1.0e-9
"""For each (smaller side)² × larger side of a matrix: measured on a slow core."""
SPARSE_SECONDS: Final = 2.0e-9
"""For each row × edge of a sparse component; likewise."""


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Of each row its column, −1: none. ``greedy``: rows that were matched cheapest first, for want of time."""

    columns: Ints
    components: int
    greedy: int


def solve(
    rows: Ints,
    columns: Ints,
    costs: Floats,
    shape: tuple[int, int],
    *,
    budget: float = float("inf"),
    clock: Callable[[], float] | None = None,
) -> Solution:
    """The assignment that costs least; every row and every column is used once at most.

    Args:
        rows, columns, costs: of each edge; no edge comes twice. Costs are below nought: what is not used costs nothing.
        shape: how many rows and columns.
        budget: seconds; a component that would probably take longer than what is left is matched cheapest first.
        clock: seconds of a monotonic clock; None: what was used is taken from the estimates.
    """
    found = np.full(shape[0], -1, dtype=np.intp)
    if not len(rows):
        return Solution(found, 0, 0)
    first = _cheapest_of_rows(rows, costs)
    taken = np.bincount(columns[first], minlength=shape[1])
    if taken.max() == 1:
        found[rows[first]] = columns[first]
        return Solution(found, len(first), 0)
    count, labels = _components(rows, columns, shape)
    contested = np.zeros(count, dtype=bool)
    contested[labels[rows[first][taken[columns[first]] > 1]]] = True
    easy = first[~contested[labels[rows[first]]]]
    found[rows[easy]] = columns[easy]
    greedy = _contested(rows, columns, costs, labels[rows], contested, found, budget, clock)
    return Solution(found, count, greedy)


def _cheapest_of_rows(rows: Ints, costs: Floats) -> Ints:
    """Of each row that has edges, the index of its cheapest; of equals the first."""
    order = np.lexsort((costs, rows))
    ordered = rows[order]
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = ordered[1:] != ordered[:-1]
    return np.asarray(order[starts], dtype=np.intp)


def _components(rows: Ints, columns: Ints, shape: tuple[int, int]) -> tuple[int, Ints]:
    """How many components that have edges there are, and of each row which one it is in (−1: of none)."""
    size = shape[0] + shape[1]
    graph = csr_array((np.ones(len(rows), dtype=np.int8), (rows, columns + shape[0])), shape=(size, size))
    _, labels = connected_components(graph, directed=False)
    used, dense = np.unique(labels[rows], return_inverse=True)
    of_rows = np.full(shape[0], -1, dtype=np.intp)
    of_rows[rows] = dense
    return len(used), of_rows


def _contested(
    rows: Ints,
    columns: Ints,
    costs: Floats,
    labels: Ints,
    contested: npt.NDArray[np.bool_],
    found: Ints,
    budget: float,
    clock: Callable[[], float] | None,
) -> int:
    """Solve the components in which somebody's cheapest is somebody else's too; how many rows cheapest first."""
    edges = np.flatnonzero(contested[labels])
    edges = edges[np.argsort(labels[edges], kind="stable")]
    borders = np.flatnonzero(np.diff(labels[edges])) + 1
    parts = np.split(edges, borders)
    parts.sort(key=len)  # many small ones are done in the time of a large one
    began = clock() if clock is not None else 0.0
    spent, greedy = 0.0, 0
    for part in parts:
        used_rows, local_rows = np.unique(rows[part], return_inverse=True)
        used_columns, local_columns = np.unique(columns[part], return_inverse=True)
        shape = (len(used_rows), len(used_columns))
        expected, dense = _work(shape, len(part))
        used = clock() - began if clock is not None else spent
        if used + expected > budget:
            chosen = cheapest_first(local_rows, local_columns, costs[part], shape)
            greedy += int((chosen >= 0).sum())
        else:
            method = _as_matrix if dense else _as_edges
            chosen = method(local_rows, local_columns, costs[part], shape)
            spent += expected
        has = chosen >= 0
        found[used_rows[has]] = used_columns[chosen[has]]
    return greedy


def _work(shape: tuple[int, int], edges: int) -> tuple[float, bool]:
    """How many seconds a component takes, about, and whether as a matrix."""
    small, large = min(shape), max(shape)
    dense, sparse = DENSE_SECONDS * small * small * large, SPARSE_SECONDS * shape[0] * (edges + shape[0])
    if shape[0] * shape[1] <= DENSE_CELLS or dense < sparse:
        return dense, True
    return sparse, False


def _as_matrix(rows: Ints, columns: Ints, costs: Floats, shape: tuple[int, int]) -> Ints:
    matrix = np.zeros(shape)
    matrix[rows, columns] = costs
    found = np.full(shape[0], -1, dtype=np.intp)
    of_row, of_column = linear_sum_assignment(matrix)
    real = matrix[of_row, of_column] < 0
    found[of_row[real]] = of_column[real]
    return found


def _as_edges(rows: Ints, columns: Ints, costs: Floats, shape: tuple[int, int]) -> Ints:
    """The same over the edges alone. The solver matches every row: each has a column of its own that costs nothing."""
    count, width = shape
    own = np.arange(count)
    # An edge of weight 0 would be none, so all are lifted above it: every solution has equally many.
    weights = np.concatenate((costs, np.zeros(count))) + (1.0 - costs.min())
    at = (np.concatenate((rows, own)), np.concatenate((columns, own + width)))
    of_row, of_column = min_weight_full_bipartite_matching(csr_array((weights, at), shape=(count, width + count)))
    found = np.full(count, -1, dtype=np.intp)
    real = of_column < width
    found[of_row[real]] = of_column[real]
    return found


def cheapest_first(rows: Ints, columns: Ints, costs: Floats, shape: tuple[int, int]) -> Ints:
    """Of each row its column (−1: none), the cheapest edge of all first: fast, and not the best."""
    found = [-1] * shape[0]
    used = [False] * shape[1]
    left = min(shape)
    for edge in np.argsort(costs, kind="stable").tolist():
        row, column = int(rows[edge]), int(columns[edge])
        if found[row] < 0 and not used[column]:
            found[row], used[column] = column, True
            left -= 1
            if not left:
                break
    return np.array(found, dtype=np.intp)
