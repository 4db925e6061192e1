"""About how many bytes a value takes: tensors and tables exactly, long lists by their beginning."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from itertools import islice

import pandas as pd

LOOKED_AT = 50  # entries of a long list, column or mapping; the rest are taken to be like them


def weight(value: object) -> int:
    """Bytes. What is no value of its own, such as the model in a trace, counts as a reference."""
    if isinstance(value, pd.DataFrame):
        return sum(column_weight(value[name]) for name in value.columns)
    if isinstance(value, pd.Series):
        return column_weight(value)
    if isinstance(value, str | bytes):
        return sys.getsizeof(value)
    numbers = getattr(value, "nbytes", None)  # of a tensor or an array
    if isinstance(numbers, int):
        return numbers + sys.getsizeof(0)
    if isinstance(value, Mapping):
        return sys.getsizeof(0) + scaled(value, lambda key: weight(key) + weight(value[key]))
    if isinstance(value, tuple | list | set | frozenset):
        return sys.getsizeof(value) + scaled(value, weight)
    if is_dataclass(value) and not isinstance(value, type):
        return sum(weight(getattr(value, field.name)) for field in fields(value))
    return sys.getsizeof(value)


def column_weight(column: pd.Series) -> int:
    if column.dtype != object:
        return int(column.memory_usage(index=False, deep=True))
    return 8 * len(column) + scaled(column.tolist(), weight)


def scaled(values: Collection, weigh) -> int:
    """The sum over all values, from the first ones where there are many."""
    seen = list(islice(values, LOOKED_AT))
    return round(sum(map(weigh, seen)) * len(values) / len(seen)) if seen else 0
