# SPDX-License-Identifier: Apache-2.0
"""What a policy holds, for its operator: its counters, histograms and tallies, and a bounded part of its other state.

Read from a state image, so that it is the same wherever a policy runs.  Keys may be a client's texts, so their number,
length and characters are restricted, for terminals as well as for Prometheus.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, cast

from transect.base.traced import line
from transect.control.answers import Reading
from transect.control.prometheus import escaped, metric
from transect.core.codec import Reader, stored
from transect.core.ir import Program, StateField
from transect.core.param_text import spelled
from transect.core.tables import BUCKETS
from transect.core.types import (
    ArrayType,
    BoolType,
    BytesType,
    CounterType,
    DurationType,
    EnumType,
    FloatType,
    HistogramType,
    InstantType,
    IntType,
    KeyType,
    StructType,
    TableKind,
    TableType,
    TextType,
    TupleType,
    Type,
)

ENTRIES = 20  # of a table or an array
LARGEST = 50  # entries of a tally: those whose value is the largest
READ = 10_000  # entries; of a tally that has more, only their number is told
TEXT = 80  # characters of a key or value


def readings(
    programs: Sequence[Program], images: Iterable[bytes | None], name_of: Callable[[int], str] = str
) -> list[Reading]:
    """A row for each stored field of each program; `images`: None where a carrier cannot tell; `name_of`: of a
    stratum's identity."""
    return [
        cast(Reading, {"element": program.name, "place": place, **row})
        for place, (program, image) in enumerate(zip(programs, images, strict=True))
        if image is not None
        for row in _Read(Reader(image), name_of).rows(program)
    ]


@dataclass(frozen=True, slots=True)
class _Read:
    """Reads an image, and skips what is not shown."""

    reader: Reader
    name_of: Callable[[int], str]

    def rows(self, program: Program) -> Iterator[dict[str, Any]]:
        for f in stored(program.state):
            row = {"field": f.name, **self._field(f)}
            overflow = self.reader.integer(8)
            yield row | ({"overflow": overflow} if _overflows(f.type) else {})

    def _field(self, f: StateField) -> dict[str, Any]:
        reader = self.reader
        match f.type:
            case CounterType():
                return {"kind": "counter", "value": reader.integer(8)}
            case HistogramType():
                counts = [reader.integer(8) for _ in range(BUCKETS)]
                seen = {_bound(i): n for i, n in enumerate(counts) if n}
                return {"kind": "histogram", "value": seen, "entries": sum(counts)}
            case TableType(kind=TableKind.TALLY) as t:
                return {"kind": "tally", **self._tally(t), "capacity": t.most}
            case TableType() as t:
                count = reader.integer(4)
                pairs = [(reader.value(t.key), reader.value(t.value)) for _ in range(min(count, ENTRIES))]
                _skip(reader, TupleType((t.key, t.value)), count - len(pairs))
                value = {self._shown(key, t.key): self._shown(item, t.value) for key, item in pairs}
                return {"kind": str(t.kind), "value": value, "entries": count, "capacity": t.most}
            case ArrayType(item=item, length=length):
                items = [reader.value(item) for _ in range(min(length, ENTRIES))]
                _skip(reader, item, length - len(items))
                return {"kind": "array", "value": [self._shown(v, item) for v in items], "entries": length}
            case t:
                return {"kind": str(f.kind), "value": self._shown(reader.value(t), t)}

    def _tally(self, t: TableType) -> dict[str, Any]:
        count = self.reader.integer(4)
        if count > READ:
            _skip(self.reader, TupleType((t.key, t.value)), count)
            return {"value": {}, "entries": count}
        pairs = [(self.reader.value(t.key), self.reader.value(t.value)) for _ in range(count)]
        pairs.sort(key=lambda pair: -abs(pair[1]))
        rest = sum(value for _, value in pairs[LARGEST:])
        value = {self._shown(key, t.key): _number(value) for key, value in pairs[:LARGEST]}
        return {"value": value, "entries": count, "rest": _number(rest)}

    def _shown(self, value: Any, t: Type) -> str:
        return shown(spelled(value, t, self.name_of))


def shown(told: str) -> str:
    """A text as one line of bounded length; different texts give different lines."""
    text = line(told)
    if len(text) <= TEXT:
        return text
    return f"{text[:TEXT]}…{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def _overflows(t: Type) -> bool:
    """Whether a store can find no room."""
    return isinstance(t, TableType | ArrayType) or _size(t) is None


def _bound(bucket: int) -> str:
    """The greatest value that a bucket of a histogram holds."""
    return "+Inf" if bucket == BUCKETS - 1 else str((1 << bucket) - 1)


def _number(value: float) -> float | str:
    """As JSON can say it."""
    return value if isinstance(value, int) or math.isfinite(value) else str(value)


# ---------------------------------------------------------------- passing over what is not shown


def _size(t: Type) -> int | None:
    """Bytes of each value of the type; None: it depends on the value."""
    match t:
        case (
            IntType() | InstantType() | DurationType() | EnumType() | KeyType() | CounterType() | FloatType()
        ):
            return 8
        case BoolType():
            return 1
        case HistogramType():
            return 8 * BUCKETS
        case TupleType(items=items):
            return _sum(items)
        case StructType(fields=fields):
            return _sum([f.type for f in fields])
        case _:
            return None


def _sum(types: Sequence[Type]) -> int | None:
    sizes = [size for t in types if (size := _size(t)) is not None]
    return sum(sizes) if len(sizes) == len(types) else None


def _skip(reader: Reader, t: Type, count: int) -> None:
    size = _size(t)
    if size is not None:
        reader.take(size * count)
        return
    for _ in range(count):
        match t:
            case TextType() | BytesType():
                reader.sized()
            case TupleType(items=items):
                for item in items:
                    _skip(reader, item, 1)
            case _:
                reader.value(t)


# ---------------------------------------------------------------- Prometheus


def exposition(prefix: str, labelled: Sequence[tuple[str, Reading]]) -> Iterator[str]:
    """The lines of rows, each with its labels (`a="x",b="y"`), in the text format 0.0.4.

    Counters and overflows are counters, histograms are histograms (without the sum of their observations, which is not
    kept); the largest entries of tallies, and the sum of the others, are gauges.
    """
    rows = [(f'{labels},field="{row["field"]}"', row) for labels, row in labelled]

    def of(kind: str) -> list[tuple[str, Reading]]:
        return [(labels, row) for labels, row in rows if row["kind"] == kind]

    counters = [(labels, row["value"]) for labels, row in of("counter")]
    yield from metric(f"{prefix}_counter_total", "counter", "A `counter()` of the policy.", counters)
    yield from _histograms(f"{prefix}_histogram", of("histogram"))
    tallies = [
        (f'{labels},key="{escaped(key)}"', value)
        for labels, row in of("tally")
        for key, value in row["value"].items()
    ]
    yield from metric(
        f"{prefix}_tally", "gauge", "The largest entries of a `tally()` of the policy.", tallies
    )
    rest = [(labels, row["rest"]) for labels, row in of("tally") if "rest" in row]
    yield from metric(f"{prefix}_tally_rest", "gauge", "The sum of a tally's other entries.", rest)
    entries = [(labels, row["entries"]) for labels, row in rows if "capacity" in row]
    yield from metric(f"{prefix}_entries", "gauge", "Entries of a table of the policy.", entries)
    overflows = [(labels, row["overflow"]) for labels, row in rows if "overflow" in row]
    yield from metric(f"{prefix}_overflow_total", "counter", "Stores that found no room.", overflows)


def _histograms(name: str, rows: Sequence[tuple[str, Reading]]) -> Iterator[str]:
    if rows:
        yield f"# HELP {name} A `histogram()` of the policy."
        yield f"# TYPE {name} histogram"
    for labels, row in rows:
        counts = {bound: row["value"].get(bound, 0) for bound in map(_bound, range(BUCKETS - 1))}
        highest = max((i for i, n in enumerate(counts.values()) if n), default=-1)
        reached = accumulate(counts.values())
        for bound, number in list(zip(counts, reached, strict=True))[: highest + 1]:
            yield f'{name}_bucket{{{labels},le="{bound}"}} {number}'
        yield f'{name}_bucket{{{labels},le="+Inf"}} {row["entries"]}'
        yield f"{name}_count{{{labels}}} {row['entries']}"
