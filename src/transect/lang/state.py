# SPDX-License-Identifier: Apache-2.0
"""State of a policy: annotated class fields whose constructor carries sizes, bounds and options.

Options of every constructor: `scope` (which copies there are; a stratum's `hooks.py` lists its scopes), `sync` (`none`,
`eventual`, `strong`), `merge` (`sum`, `max`, `min`, `last`: how `eventual` copies agree), `persist` (kept across
restarts, in the file given to `run --state`), `exclusive` (locked from its first to its last use in a handler), `was`
(the field's name in the version before).
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol, TypeAlias, TypedDict, TypeVar, Unpack, overload

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


class Options(TypedDict, total=False):
    """Options of a field; the module's text explains them."""

    scope: str
    sync: str
    merge: str
    persist: bool
    exclusive: bool
    was: str


@dataclass(frozen=True)
class Declared:
    """What a constructor leaves in the class body.  Nothing reads it: the compiler reads the source."""

    constructor: str
    arguments: tuple[object, ...] = ()
    options: dict[str, Any] = field(default_factory=dict[str, Any])


class Map(Protocol[K, V]):
    """A bounded map.  A new key into a full one changes nothing and adds one to the field's overflow counter."""

    def __getitem__(self, key: K, /) -> V: ...
    def __setitem__(self, key: K, value: V, /) -> None: ...
    def __delitem__(self, key: K, /) -> None: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __iter__(self) -> Iterator[K]: ...
    def __len__(self) -> int: ...
    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, default: V, /) -> V: ...
    def put(self, key: K, value: V, /) -> bool:
        """Store; False when a new key finds the map full, or a text does not fit."""
        ...

    def keys(self) -> KeysView[K]:
        """The keys of the entries that are there when the loop begins."""
        ...

    def values(self) -> ValuesView[V]:
        """The values of the entries that are there when the loop begins."""
        ...

    def items(self) -> ItemsView[K, V]:
        """The entries that are there when the loop begins, as (key, value)."""
        ...

    @property
    def overflow(self) -> int:
        """How many stores found no room."""
        ...


class Ordered(Map[K, V], Protocol[K, V]):
    """A bounded map which is iterated by ascending key."""

    def first(self) -> tuple[K, V] | None:
        """The entry with the smallest key."""
        ...

    def pop_first(self) -> tuple[K, V] | None:
        """Take out the entry with the smallest key."""
        ...


class Tally(Protocol[K, V]):
    """A bounded, total map of numbers: an absent key reads as 0, `+=` inserts it, and only `del` frees its place.

    Iteration, `len` and equality skip zeros.
    """

    def __getitem__(self, key: K, /) -> V: ...
    def __setitem__(self, key: K, value: V, /) -> None: ...
    def __delitem__(self, key: K, /) -> None: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __iter__(self) -> Iterator[K]: ...
    def __len__(self) -> int: ...
    def get(self, key: K, /) -> V:
        """The number; 0 when the key is absent."""
        ...

    def put(self, key: K, value: V, /) -> bool:
        """Store; False when a new key finds the tally full."""
        ...

    def keys(self) -> KeysView[K]:
        """The keys of the entries that are there when the loop begins."""
        ...

    def values(self) -> ValuesView[V]:
        """The values of the entries that are there when the loop begins."""
        ...

    def items(self) -> ItemsView[K, V]:
        """The entries that are there when the loop begins, as (key, value)."""
        ...

    @property
    def overflow(self) -> int:
        """How many stores found no room."""
        ...


class Array(Protocol[T]):
    """A fixed number of values, all of the type's zero at first."""

    def __getitem__(self, index: int, /) -> T: ...
    def __setitem__(self, index: int, value: T, /) -> None: ...
    def __iter__(self) -> Iterator[T]: ...
    def __len__(self) -> int: ...


class Counter(Protocol):
    """Counts up; read by the operator, never by a verdict."""

    def add(self, n: int = 1, /) -> None:
        """Count n more."""
        ...


class Histogram(Protocol):
    """Observations in powers-of-two buckets; read by the operator, never by a verdict."""

    def observe(self, value: int, /) -> None:
        """Count one observation (a Duration counts in nanoseconds)."""
        ...


Param: TypeAlias = Annotated[T, "param"]
"""A value which the operator sets while the policy runs (`transect STRATUM set`); read-only for the policy."""

Secret: TypeAlias = Annotated[T, "secret"]
"""A field of a message of which a policy reads the digest alone, and a recording holds nothing else."""

Local: TypeAlias = Annotated[T, "local"]
"""One value per RPC (request, task): it begins and ends with the RPC."""


def _declared(constructor: str, arguments: tuple[object, ...], options: Any) -> Any:
    return Declared(constructor, arguments, dict(options))


def table(capacity: int, /, *, key: Any = None, value: Any = None, **options: Unpack[Options]) -> Any:
    """A `Map` of at most `capacity` entries.  `key=text(64)`, `value=text(64)` bound texts (64 bytes without)."""
    return _declared("table", (capacity, key, value), options)


def tally(capacity: int, /, *, key: Any = None, **options: Unpack[Options]) -> Any:
    """A `Tally` of at most `capacity` keys."""
    return _declared("tally", (capacity, key), options)


def lru(capacity: int, /, *, key: Any = None, value: Any = None, **options: Unpack[Options]) -> Any:
    """A `Map` which, when full, evicts the entry read or written least recently."""
    return _declared("lru", (capacity, key, value), options)


def ordered(capacity: int, /, *, key: Any = None, value: Any = None, **options: Unpack[Options]) -> Any:
    """An `Ordered` map of at most `capacity` entries: smallest key first."""
    return _declared("ordered", (capacity, key, value), options)


def array(length: int, /, **options: Unpack[Options]) -> Any:
    """An `Array` of `length` values."""
    return _declared("array", (length,), options)


def param(default: T, /, **options: Unpack[Options]) -> T:
    """A `Param` with this value until the operator sets another."""
    value: T = _declared("param", (default,), options)
    return value


def local(default: T, /) -> T:
    """A `Local` which begins every RPC with this value."""
    value: T = _declared("local", (default,), {})
    return value


def state(default: T, /, **options: Unpack[Options]) -> T:
    """Scalar or struct state with options (without options, write the default alone)."""
    value: T = _declared("state", (default,), options)
    return value


def counter(**options: Unpack[Options]) -> Any:
    """A `Counter`."""
    return _declared("counter", (), options)


def histogram(**options: Unpack[Options]) -> Any:
    """A `Histogram`."""
    return _declared("histogram", (), options)


def text(size: int, /, default: str = "", **options: Unpack[Options]) -> Any:
    """A `str` of at most `size` bytes, as a field's default or a table's `key=` or `value=`."""
    return _declared("text", (size, default), options)


def blob(size: int, /, default: bytes = b"", **options: Unpack[Options]) -> Any:
    """A `bytes` of at most `size` bytes, as a field's default or a table's `key=` or `value=`."""
    return _declared("blob", (size, default), options)


def given() -> Any:
    """A field which the stratum keeps and the policy reads (used by strata and shapes)."""
    return _declared("given", (), {})
