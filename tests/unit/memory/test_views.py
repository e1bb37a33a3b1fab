# SPDX-License-Identifier: Apache-2.0
"""Views over a small memory whose layout the test writes: fields, bits, texts, pointers, and what comes by one read."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.linux.types import Writer
from transect.core.frontend import compile_text
from transect.linux import KernelDataError
from transect.linux.btf import Btf
from transect.linux.kallsyms import Symbols
from transect.memory import plan as planning
from transect.memory.machine import Machine
from transect.memory.views import Views

BASE = 0x10000
PROBE = """
from collections.abc import Sequence
from transect.lang import given, i32, u32, u64
from transect.memory import Probe, Struct, Symbols, at, pointers
class Cred(Struct, of="cred"):
    uid: u32
class Task(Struct, of="task"):
    pid: i32
    comm: bytes
    low: u32
    cred: Cred
    uid: u32 = at("cred.uid")
    gid: u32 = at("cred.gid")
    maybe: Cred | None = at("cred")
    word: u64 = at("cred")
    name: bytes
    kids: Sequence[Cred] = pointers("kids", count="count")
    wrong: u32 = at("missing")
class Kernel(Symbols):
    task: Task = at("task init_task")
class P(Probe):
    kernel: Kernel = given()
    def scan(self) -> None:
        task = self.kernel.task
        for kid in task.kids:
            self.show("", uid=kid.uid)
        self.show("", pid=task.pid, comm=task.comm, low=task.low, uid=task.uid, gid=task.gid, word=task.word)
        self.show("", name=task.name, cred=task.cred.uid)
        if task.maybe is not None:
            self.show("", uid=task.maybe.uid)
"""


def a_kernel() -> Btf:
    w = Writer()
    i32, u32, char = w.integer("int", 4, True), w.integer("u32", 4), w.integer("char", 1)
    cred = w.struct("cred", 16, [("usage", u32, 0), ("uid", u32, 4), ("gid", u32, 8)])
    to_cred, comm, text = w.pointer(cred), w.array(char, 8), w.pointer(char)
    kids = w.pointer(to_cred)
    members = [("pid", i32, 0, 0), ("comm", comm, 4, 0), ("cred", to_cred, 16, 0), ("name", text, 24, 0)]
    members += [("kids", kids, 32, 0), ("count", u32, 40, 0)]
    w.bits("task", 48, [*((n, t, at * 8, size) for n, t, at, size in members), ("low", u32, 44 * 8 + 2, 3)])
    return Btf(w.data())


class Memory:
    """Stands in for a machine; reads are counted."""

    def __init__(self) -> None:
        symbols = Symbols((b"Dinit_task",), (BASE,))
        self.known = SimpleNamespace(btf=a_kernel(), symbols=symbols, release="9.9")
        self.reads = 0
        self.data = bytearray(0x400)
        where = BASE + 0x100, BASE + 0x200, BASE + 0x300
        struct.pack_into("<i8s4xQQQII", self.data, 0, -7, b"init\0xyz", *where, 2, 0b10100)
        struct.pack_into("<III", self.data, 0x100, 1, 1000, 100)
        struct.pack_into("<6s10xQQ", self.data, 0x200, b"/bin/x", 0, 0)
        struct.pack_into("<QQ", self.data, 0x300, 0, BASE + 0x100)

    def symbol(self, name: str) -> int:
        return self.known.symbols.address(name)

    def read(self, address: int, size: int) -> bytes:
        self.reads += 1
        if not BASE <= address <= BASE + len(self.data) - size:
            raise KernelDataError(f"nothing at {address:#x}")
        return bytes(self.data[address - BASE : address - BASE + size])

    def u64(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8), "little")

    def text_at(self, address: int, most: int) -> bytes:
        return self.read(address, 16).split(b"\0")[0]


def bound(text: str = PROBE) -> tuple[Any, Memory]:
    """The task, and the memory it is in."""
    compiled = compile_text(text)
    assert not list(compiled.diagnostics), [d.message for d in compiled.diagnostics]
    memory = Memory()
    views = Views(compiled.programs[0], cast(Machine, memory))
    return views.symbols("Kernel").task, memory


def test_numbers_texts_and_bits() -> None:
    task, _ = bound()
    assert (task.pid, task.comm, task.low, task.name) == (-7, b"init", 0b101, b"/bin/x")


def test_pointers_are_followed_and_seen() -> None:
    task, _ = bound()
    assert (task.uid, task.cred.uid, task.cred.address, task.word) == (1000, 1000, BASE + 0x100, BASE + 0x100)
    assert [kid.uid for kid in task.kids] == [1000]


def test_fields_of_a_structure_and_those_behind_one_pointer_come_by_one_read_each() -> None:
    task, memory = bound()
    assert (task.pid, task.comm, task.low, task.word) == (-7, b"init", 5, BASE + 0x100)
    assert memory.reads == 1
    assert (task.uid, task.gid) == (1000, 100)
    assert memory.reads == 2


def test_an_empty_pointer_is_none_or_an_error_which_names_the_path() -> None:
    task, memory = bound()
    struct.pack_into("<Q", memory.data, 16, 0)
    assert task.maybe is None
    with pytest.raises(KernelDataError, match=r"empty pointer on the way to `task.cred.uid`"):
        assert task.uid


def test_a_count_beyond_all_bounds_is_told() -> None:
    task, memory = bound()
    struct.pack_into("<I", memory.data, 40, 1 << 30)
    with pytest.raises(KernelDataError, match="says 1073741824 elements"):
        assert task.kids


def test_only_what_is_read_must_be_there() -> None:
    with pytest.raises(
        KernelDataError, match=r"Task.wrong: this kernel's `struct task` has no field `missing`"
    ):
        bound(PROBE.replace("pid=task.pid", "pid=task.wrong"))


def test_a_field_is_where_this_kernel_has_it() -> None:
    places = 'at("old.uid"), at("cred.uid")'
    for either in (places, ", ".join(reversed(places.split(", ")))):
        text = PROBE.replace('uid: u32 = at("cred.uid")', f"uid: u32 = either({either})")
        text = text.replace('at("task init_task")', 'either(at("task old_init"), at("task init_task"))')
        task, _ = bound(text.replace("import Probe", "import either, Probe"))
        assert task.uid == 1000
    with pytest.raises(KernelDataError, match="`struct task` has no field `older`"):
        bound(
            PROBE.replace('at("cred.uid")', 'either(at("old.uid"), at("older.uid"))').replace(
                "import Probe", "import either, Probe"
            )
        )


def test_all_that_is_missing_is_named_at_once() -> None:
    text = PROBE.replace('at("cred.gid")', 'at("cred.group")').replace(
        "    uid: u32\n", '    uid: u32 = at("user")\n'
    )
    with pytest.raises(KernelDataError, match=r"`group`.*`user`"):
        bound(text)


def test_a_view_of_another_kind_than_the_kernels_is_told() -> None:
    with pytest.raises(KernelDataError, match="which is no `bytes`"):
        bound(PROBE.replace("    name: bytes\n", '    name: bytes = at("count")\n'))


def test_the_plan_says_what_comes_together() -> None:
    program = compile_text(PROBE).programs[0]
    made = planning.plan(program, cast(Machine, Memory()))
    assert "Task.kids: array of pointers of Cred" in planning.text(made)
    assert next(w for w in made.walks if w.name == "Task.kids").fields == ("uid",)
