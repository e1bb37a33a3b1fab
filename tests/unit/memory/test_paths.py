# SPDX-License-Identifier: Apache-2.0
"""Paths of layouts: resolved in BTF, and what is missing is named."""

from __future__ import annotations

import pytest

from tests.unit.linux.types import Writer
from transect.linux import KernelDataError
from transect.linux.btf import Btf, Kind
from transect.memory.layout import Layout
from transect.memory.layout_text import read
from transect.memory.paths import resolve, root


def a_kernel() -> Btf:
    w = Writer()
    u32 = w.integer("u32", 4)
    head = w.struct("list_head", 16, [("next", 3, 0), ("prev", 3, 8)])
    assert w.pointer(head) == 3
    uid = w.struct("kuid", 4, [("val", u32, 0)])
    cred = w.struct("cred", 16, [("usage", u32, 0), ("uid", uid, 8)])
    creds = w.pointer(cred)
    pair = w.array(head, 2)
    w.struct("task", 128, [("tasks", head, 0), ("cred", creds, 40), ("links", pair, 64)])
    return Btf(w.data())


def test_pointers_on_the_way_are_followed() -> None:
    btf = a_kernel()
    path = resolve(btf, btf.struct("task"), "cred.uid.val")
    assert (path.offsets, path.type.kind) == ((40, 8), Kind.INT)


def test_an_element_of_an_array() -> None:
    btf = a_kernel()
    assert resolve(btf, btf.struct("task"), "links[1].prev").offsets == (64 + 16 + 8,)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("creds.uid", "`struct task` has no field `creds`"),
        ("cred.uid.value", "`struct kuid` has no field `value`"),
        ("links[2]", "2 elements"),
        ("tasks[0]", "no array"),
        ("cred.usage.x", "no structure"),
        ("cred->uid", "not a path"),
    ],
)
def test_what_is_missing_is_named(path: str, says: str) -> None:
    btf = a_kernel()
    with pytest.raises(KernelDataError, match=says):
        resolve(btf, btf.struct("task"), path)


def test_a_root_begins_with_a_symbol() -> None:
    found = root(a_kernel(), "task init_task.tasks")
    assert (found.symbol, found.pointer, found.path.offsets) == ("init_task", False, (0,))
    assert root(a_kernel(), "task *current.cred.uid").pointer
    assert root(a_kernel(), "modules").path.type.kind is Kind.VOID


def test_fields_of_a_symbol_need_its_type() -> None:
    with pytest.raises(KernelDataError, match="write the type of the symbol"):
        root(a_kernel(), "init_task.tasks")


def test_layouts_are_read_from_their_text() -> None:
    assert read("listed('task init_task.tasks', by='tasks', least=1)") == Layout(
        "listed", "task init_task.tasks", by="tasks", least=1
    )
    nested = read("hlist(idr('idr', of='pid'), 'tasks[1]', by='pid_links[1]')")
    assert nested is not None and nested.inner == Layout("idr", "idr", of="pid")


@pytest.mark.parametrize("text", ["", "5", "listed()", "evil('x')", "listed(open('x'), by='y')", "(" * 5000])
def test_what_is_no_layout_is_none(text: str) -> None:
    assert read(text) is None
