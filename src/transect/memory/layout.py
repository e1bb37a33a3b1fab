# SPDX-License-Identifier: Apache-2.0
"""Where a field of a view lies when its name alone does not say it, and how containers of the kernel are walked.

    class Task(Struct, of="task_struct"):
        uid: u32 = at("cred.uid.val")                           # pointers on the way are followed
        children: Sequence[Task] = listed("children", by="sibling")

A path names fields, `[3]` an element of an array.  A path of a whole kernel begins with a symbol, and with the type of
the symbol before it where fields of it are named: `"task_struct init_task.tasks"`, `"modules"`.  A path may also begin
in each element of another container: `hlist(idr("pid_namespace init_pid_ns.idr", of="pid"), "tasks[1]", by="…")`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

MOST = 1 << 16  # elements of one walk, unless the layout says otherwise


@dataclass(frozen=True)
class Layout:
    """How a field is found."""

    kind: str  # at, listed, hlist, chain, tree, latch, idr, maple, hashed, array, pointers, percpu, rooted …
    path: str
    inner: Layout | None = None  # the container in whose elements the path begins
    by: str = ""  # the link within an element
    of: str = ""  # type of the elements, if no view names it
    count: int | str = 0  # arrays: how many, or the path of the number
    least: int = 0  # elements that must be there: fewer are an error, never an empty answer
    most: int = MOST
    until: str = ""  # the symbol behind the last element
    parts: tuple[Layout, ...] = ()  # containers whose elements are joined


def _make(kind: str, first: Any, second: str = "", **more: Any) -> Sequence[Any]:
    if isinstance(first, Layout):
        made = Layout(kind, second, first, **more)
    else:
        made = Layout(kind, first, **more)
    return cast("Sequence[Any]", made)  # what a view has in place of the elements is a walk to them


def at(path: str) -> Any:
    """A field elsewhere than its name says."""
    return _make("at", path)


def listed(
    first: Any, second: str = "", *, by: str, of: str = "", least: int = 0, most: int = MOST
) -> Sequence[Any]:
    """A circular list (`list_head`)."""
    return _make("listed", first, second, by=by, of=of, least=least, most=most)


def hlist(
    first: Any, second: str = "", *, by: str, of: str = "", least: int = 0, most: int = MOST
) -> Sequence[Any]:
    """A list with one pointer to its first element (`hlist_head`)."""
    return _make("hlist", first, second, by=by, of=of, least=least, most=most)


def chain(
    first: Any, second: str = "", *, by: str, of: str = "", least: int = 0, most: int = MOST
) -> Sequence[Any]:
    """Elements which point to the next one; the last to nothing, or to a symbol of data (`ftrace_list_end`)."""
    return _make("chain", first, second, by=by, of=of, least=least, most=most)


def tree(
    first: Any, second: str = "", *, by: str, of: str = "", least: int = 0, most: int = MOST
) -> Sequence[Any]:
    """A red-black tree (`rb_root`, `rb_root_cached`), in order."""
    return _make("tree", first, second, by=by, of=of, least=least, most=most)


def latch(
    first: Any, second: str = "", *, by: str, of: str = "", least: int = 0, most: int = MOST
) -> Sequence[Any]:
    """A latched tree (`latch_tree_root`): the copy that is not being changed."""
    return _make("latch", first, second, by=by, of=of, least=least, most=most)


def idr(first: Any, second: str = "", *, of: str = "", least: int = 0, most: int = MOST) -> Sequence[Any]:
    """The pointers in an `idr` or `xarray`, by ascending index."""
    return _make("idr", first, second, of=of, least=least, most=most)


def maple(first: Any, second: str = "", *, of: str = "", least: int = 0, most: int = MOST) -> Sequence[Any]:
    """The pointers in a maple tree, by ascending index, each once."""
    return _make("maple", first, second, of=of, least=least, most=most)


def hashed(
    first: Any,
    second: str = "",
    *,
    by: str,
    count: int | str = 0,
    of: str = "",
    least: int = 0,
    most: int = MOST,
) -> Sequence[Any]:
    """A hash table: an array of `hlist_head`; `count` where BTF does not say how many."""
    return _make("hashed", first, second, by=by, count=count, of=of, least=least, most=most)


def array(
    first: Any, second: str = "", *, count: int | str = 0, of: str = "", least: int = 0, most: int = MOST
) -> Sequence[Any]:
    """Elements one after the other."""
    return _make("array", first, second, count=count, of=of, least=least, most=most)


def pointers(
    first: Any, second: str = "", *, count: int | str = 0, of: str = "", least: int = 0, most: int = MOST
) -> Sequence[Any]:
    """Pointers to elements, one after the other; empty ones are passed over.  `count` 0: up to the first empty one."""
    return _make("pointers", first, second, count=count, of=of, least=least, most=most)


def percpu(path: str, *, of: str = "", least: int = 1, most: int = MOST) -> Sequence[Any]:
    """One element for each processor: `percpu("rq runqueues")`, or what a field of it points to."""
    return _make("percpu", path, of=of, least=least, most=most)


def offsets(path: str, *, until: str, of: str = "", least: int = 0, most: int = MOST) -> Sequence[Any]:
    """Elements named by 32-bit distances from where each distance stands, up to the symbol `until`."""
    return _make("offsets", path, until=until, of=of, least=least, most=most)


def single(path: str, *, of: str = "") -> Sequence[Any]:
    """The one structure at a symbol, as a sequence."""
    return _make("single", path, of=of)


def together(*parts: Any, least: int = 0) -> Sequence[Any]:
    """The elements of several containers, one container after the other."""
    return _make("together", "", parts=parts, least=least)


def either(*parts: Any) -> Any:
    """The first of these containers, or of these places of one field, whose names a kernel has; the last one where it
    has none.
    """
    return _make("either", "", parts=parts)


KINDS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        at,
        listed,
        hlist,
        chain,
        tree,
        latch,
        idr,
        maple,
        hashed,
        array,
        pointers,
        percpu,
        offsets,
        single,
        together,
        either,
    )
}
