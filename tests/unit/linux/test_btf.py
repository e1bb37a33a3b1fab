# SPDX-License-Identifier: Apache-2.0
"""BTF: layouts are found, and whatever the bytes are, only `KernelDataError` is raised."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.linux.types import Writer
from transect.linux import KernelDataError
from transect.linux.btf import HEADER, Btf, Kind


def a_task() -> bytes:
    w = Writer()
    u32 = w.integer("unsigned int", 4)
    char = w.integer("char", 1, signed=True)
    pid_t = w.add(Kind.TYPEDEF, "pid_t", u32)
    comm = w.array(char, 16)
    node = w.struct("list_head", 16, [("next", 6, 0), ("prev", 6, 8)])
    assert w.pointer(node) == 6
    inner = w.struct("", 8, [("pid", pid_t, 0), ("tgid", pid_t, 4)])
    task = w.struct("task_struct", 48, [("tasks", node, 0), ("", inner, 16), ("comm", comm, 24)])
    w.bits("flags", 4, [("low", u32, 0, 3), ("high", u32, 3, 5)])
    w.enum("mod_state", [("LIVE", 0), ("GONE", -1)])
    w.pointer(task)
    return w.data()


def a_task_string(name: bytes) -> bytes:
    """Where it stands among the strings of `a_task`."""
    data = a_task()
    *_, start, _ = HEADER.unpack_from(data)
    return (data.index(name) - HEADER.size - start).to_bytes(4, "little")


def test_a_field_is_found_through_anonymous_members_and_typedefs() -> None:
    field = Btf(a_task()).field("task_struct", "tgid")
    assert (field.offset, field.type.name, field.type.size) == (20, "unsigned int", 4)


def test_a_path_goes_into_members() -> None:
    field = Btf(a_task()).field("task_struct", "tasks.prev")
    assert (field.offset, field.type.kind, field.path) == (8, Kind.PTR, "task_struct.tasks.prev")


def test_bit_fields_have_their_bit_and_width() -> None:
    field = Btf(a_task()).field("flags", "high")
    assert (field.offset, field.bit, field.bits) == (0, 3, 5)


def test_signed_enums_have_negative_members() -> None:
    constants = Btf(a_task()).constants
    assert (constants["LIVE"], constants["GONE"]) == (0, -1)


def test_a_name_is_found_however_strings_are_kept() -> None:
    w = Writer()
    w.integer("long_name", 8)
    w.add(Kind.FWD, "", 0)
    w.types[-12:-8] = (1 + len("long_")).to_bytes(4, "little")  # `name`, the end of another string
    first, second = (w.struct("twice", size, [("a", 1, 0)]) for size in (8, 16))  # a string each
    btf = Btf(w.data())
    assert (found := btf.named("name", Kind.FWD)) is not None and (found.id, found.name) == (2, "name")
    assert btf.named("name", Kind.INT) is None and btf.named("long") is None and btf.named("") is None
    assert btf.struct("twice").id == first < second
    assert btf.names(Kind.STRUCT) == ["twice"]


def test_a_module_uses_names_and_types_of_the_kernel() -> None:
    kernel, module = Btf(a_task()), Writer()
    base = kernel.struct("task_struct")
    module.add(Kind.TYPEDEF, "", base.id)
    module.types[:4] = a_task_string(b"task_struct")
    types = Btf(module.data(), kernel)
    assert types.struct("task_struct").id == base.id
    assert (alias := types.named("task_struct", Kind.TYPEDEF)) is not None
    assert (alias.id, alias.target) == (len(kernel), base.id)


def test_sizes_of_arrays() -> None:
    btf = Btf(a_task())
    assert btf.size_of(btf.struct("task_struct").members[2].type) == 16


@pytest.mark.parametrize(
    ("struct", "path", "says"),
    [
        ("task_struct", "uid", "`struct task_struct` has no field `uid`"),
        ("task_struct", "tasks.up", "`struct list_head` has no field `up`"),
        ("cred", "uid", "no `struct cred`"),
    ],
)
def test_what_is_missing_is_named(struct: str, path: str, says: str) -> None:
    with pytest.raises(KernelDataError, match=says):
        Btf(a_task()).field(struct, path)


def test_a_chain_of_typedefs_in_a_circle_ends() -> None:
    w = Writer()
    w.add(Kind.TYPEDEF, "a", 2)
    w.add(Kind.TYPEDEF, "b", 1)
    with pytest.raises(KernelDataError, match="typedefs"):
        Btf(w.data()).resolve(1)


def test_a_struct_that_contains_itself_ends() -> None:
    w = Writer()
    w.struct("loop", 8, [("", 1, 0), ("", 1, 0)])
    with pytest.raises(KernelDataError, match="no field `x`"):
        Btf(w.data()).field("loop", "x")


def test_a_modules_types_stand_on_the_kernels() -> None:
    kernel = Btf(a_task())
    w = Writer()
    at = len(a_task()) and kernel._strings_end
    w.strings = bytearray(b"\0own\0")
    w.types += (at + 1).to_bytes(4, "little") + (Kind.PTR << 24).to_bytes(4, "little") + b"\1\0\0\0"
    module = Btf(w.data(), kernel)
    made = module.type(len(kernel))
    assert (made.name, made.kind, module.type(made.target).name) == ("own", Kind.PTR, "unsigned int")


def try_everything(data: bytes) -> None:
    with contextlib.suppress(KernelDataError):
        btf = Btf(data)
        for number in range(min(len(btf), 64)):
            with contextlib.suppress(KernelDataError):
                btf.size_of(number)
        for struct, path in (("task_struct", "tgid"), ("flags", "high"), ("pid_t", "x")):
            with contextlib.suppress(KernelDataError):
                btf.field(struct, path)
        assert btf.constants is not None


@given(st.data())
@settings(max_examples=300)
def test_no_damage_raises_anything_else(data: st.DataObject) -> None:
    whole = bytearray(a_task())
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=6)):
        whole[at] = data.draw(st.integers(0, 255))
    try_everything(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    try_everything(bytes(whole))
