# SPDX-License-Identifier: Apache-2.0
"""What probes ask about a kernel besides its structures: symbols, code, constant tables.

Answers about code are computed once for each round, from the kernel's own records at that time.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property

from transect.linux.errors import KernelDataError
from transect.linux.expected import Expected
from transect.linux.pages import NotMapped, Page
from transect.memory import walks
from transect.memory.machine import MASK, PAGE, Machine
from transect.memory.module_code import ModuleCode

CODE = 1 << 63, 0xFFFFFFFFFF000000  # the kernel's half, up to the page that all processes may call
MOST = 4096  # of anything that is listed
SIZE = 64  # bytes of evidence
PACK = 2 << 20  # bytes that BPF programs share
REAL_MODE = 1 << 20  # bytes of memory that code in real mode reaches
KEXEC = ("kexec_image", "kexec_crash_image")
CONTROL = 2 * PAGE  # bytes of code that goes over to another kernel: KEXEC_CONTROL_PAGE_ORDER
UNOWNED = 256 << 20  # bytes of executable memory that nobody owns and that are looked into, per round
_EMPTY = (b"\xcc" * PAGE, bytes(PAGE))  # traps, or nothing at all


class Answers:
    """The functions of `transect.memory.linux.code`."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def begin(self) -> None:
        """A round begins: the kernel's records are read anew."""
        for name in ("books", "_starts"):
            self.__dict__.pop(name, None)

    # ------------------------------------------------------------ addresses

    def symbol(self, name: str) -> int:
        return self.machine.symbol(name)

    def u64_at(self, address: int) -> int:
        return self.machine.u64(address)

    def u32_at(self, address: int) -> int:
        return self.machine.u32(address)

    def bytes_at(self, address: int, size: int) -> bytes:
        return self.machine.read(address, max(0, min(size, SIZE)))

    def name_of(self, address: int) -> str:
        if self._in_text(address) or self.machine.in_image(address):
            near = self.machine.known.symbols.near(self.machine.linked(address))
            if near is not None:
                return f"{near[0]}+{near[1]:#x}"
        owner = self._owner(address)
        return f"[{owner[2]}]+{address - owner[0]:#x}" if owner else f"{address:#x}"

    # ------------------------------------------------------------ code

    def _in_text(self, address: int) -> bool:
        symbols = self.machine.known.symbols
        return symbols.address("_stext") <= self.machine.linked(address) < symbols.address("_etext")

    def trusted_code(self, address: int) -> bool:
        return self._in_text(address) or self._owner(address) is not None

    def _owner(self, address: int) -> tuple[int, int, str] | None:
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and self.books[index][0] <= address < self.books[index][1]:
            return self.books[index]
        return None

    @cached_property
    def _starts(self) -> list[int]:
        return [start for start, _, _ in self.books]

    @cached_property
    def books(self) -> list[tuple[int, int, str]]:
        """Stretches of code outside of the kernel's text that the kernel has on record: start, end, owner."""
        return sorted([*self._modules(), *self._bpf(), *self._trampolines(), *self._slots()])

    def _modules(self) -> Iterator[tuple[int, int, str]]:
        machine, btf = self.machine, self.machine.known.btf
        link = btf.field("module", "list").offset
        code, name = ModuleCode.of(btf), btf.field("module", "name").offset
        for node, _ in walks.doubly(machine.read, machine.symbol("modules"), MOST):
            module = node - link
            raw = machine.read(module + code.start, code.size)
            named = machine.text_at(module + name, 56).decode("utf-8", "replace")
            for base, size in code.parts:
                start, length = (int.from_bytes(raw[at:][:n], "little") for at, n in ((base, 8), (size, 4)))
                if start and length:
                    yield start, start + length, named

    def _bpf(self) -> Iterator[tuple[int, int, str]]:
        machine, btf = self.machine, self.machine.known.btf
        link = btf.field("bpf_ksym", "lnode").offset
        for node, _ in walks.doubly(machine.read, machine.symbol("bpf_kallsyms"), 1 << 16):
            ksym = node - link
            start, end = struct.unpack("<QQ", machine.read(ksym, 16))
            yield (
                start,
                end,
                machine.text_at(ksym + btf.field("bpf_ksym", "name").offset, 64).decode("utf-8", "replace"),
            )

    def _trampolines(self) -> Iterator[tuple[int, int, str]]:
        """Trampolines of ftrace, from its own list; the function behind each is checked separately."""
        machine, btf = self.machine, self.machine.known.btf
        link = btf.field("ftrace_ops", "list").offset
        at, size = (btf.field("ftrace_ops", n).offset for n in ("trampoline", "trampoline_size"))
        for node, _ in walks.doubly(machine.read, machine.symbol("ftrace_ops_trampoline_list"), MOST):
            start, length = machine.u64(node - link + at), machine.u64(node - link + size)
            if start:
                yield start, start + min(length, 1 << 16), "ftrace trampoline"

    def _slots(self) -> Iterator[tuple[int, int, str]]:
        """Copies of instructions under kprobes."""
        machine, btf = self.machine, self.machine.known.btf
        for name in ("kprobe_insn_slots", "kprobe_optinsn_slots"):
            if name not in machine.known.symbols:
                continue
            head = machine.symbol(name) + btf.field("kprobe_insn_cache", "pages").offset
            for node, _ in walks.doubly(machine.read, head, MOST):
                page = node - btf.field("kprobe_insn_page", "list").offset
                start = machine.u64(page + btf.field("kprobe_insn_page", "insns").offset)
                yield start, start + PAGE, name

    def _real_mode(self) -> Iterator[tuple[int, int]]:
        """What processors begin with, below the first MiB: nothing in the kernel calls it."""
        machine, btf = self.machine, self.machine.known.btf
        if "real_mode_header" not in machine.known.symbols:
            return
        header = machine.u64(machine.symbol("real_mode_header"))
        text, end = (
            machine.u32(header + btf.field("real_mode_header", n).offset) for n in ("text_start", "ro_end")
        )
        if text < end <= REAL_MODE:
            yield machine.where.linear + text, machine.where.linear + end

    def _kexec(self) -> Iterator[tuple[int, int]]:
        """What goes over to a kernel that has been loaded for kexec, or for a crash."""
        machine, symbols, btf = self.machine, self.machine.known.symbols, self.machine.known.btf
        for name in KEXEC:
            image = machine.u64(machine.symbol(name)) if name in symbols and "vmemmap_base" in symbols else 0
            if image:
                page = machine.u64(image + btf.field("kimage", "control_code_page").offset)
                number = (page - machine.u64(machine.symbol("vmemmap_base"))) // btf.struct("page").size
                start = machine.where.linear + number * PAGE
                yield start, start + CONTROL

    def stray_code(self) -> list[int]:
        """First pages of stretches of executable memory in which nothing is known.

        Kernels that keep modules in large pages (7.x) fill what is free with traps: that is no code.
        """
        others = [*self._packs(), *self._real_mode(), *self._kexec(), *self._text()]
        found: list[int] = []
        end, left = 0, UNOWNED  # where the last stray page ends; bytes that may still be looked into
        for page in self.machine.tables.pages(*CODE, executable=True):
            for start, full in self._unknown(page, others):
                left -= PAGE
                if full and start != end:
                    found.append(start)
                if full:
                    end = start + PAGE
                if len(found) >= MOST or (left <= 0 and found):
                    return found
                if left <= 0:
                    raise KernelDataError(
                        f"more than {UNOWNED >> 20} MiB of executable memory belong to nobody"
                    )
        return found

    def _unknown(self, page: Page, others: list[tuple[int, int]]) -> Iterator[tuple[int, bool]]:
        """The 4 KiB pieces of a page which nothing on record and none of the others touch, and whether anything is in
        them."""
        for first in range(0, page.size, PACK):  # a machine that lies may have pages of a gigabyte there
            size = min(PACK, page.size - first)
            pieces = range(page.virtual + first, page.virtual + first + size, PAGE)
            pieces_left = [p for p in pieces if not self._known(p, p + PAGE, others)]
            if not pieces_left:
                continue
            data = self.machine.physical.read(page.physical + first, size)
            for start in pieces_left:
                at = start - pieces.start
                yield start, data[at : at + PAGE] not in _EMPTY

    def _known(self, start: int, end: int, others: list[tuple[int, int]]) -> bool:
        """Whether anything on record, or one of the others, lies between the two addresses."""
        index = bisect_right(self._starts, end - 1) - 1
        if index >= 0 and self.books[index][1] > start:
            return True
        return any(first < end and start < last for first, last in others)

    def _text(self) -> Iterator[tuple[int, int]]:
        low, high = map(self.machine.known.symbols.address, ("_stext", "_etext"))
        yield self.machine.running(low), self.machine.running(high)

    def _packs(self) -> Iterator[tuple[int, int]]:
        """Pages that BPF programs share; programs of the kernel itself (classic BPF) are in no other record."""
        machine, btf = self.machine, self.machine.known.btf
        pointer = btf.field("bpf_prog_pack", "ptr").offset - btf.field("bpf_prog_pack", "list").offset
        packs = walks.doubly(machine.read, machine.symbol("pack_list"), MOST)
        for node, _ in packs:
            start = machine.u64(node + pointer)
            yield start, start + PACK

    # ------------------------------------------------------------ what the package says

    @property
    def expected(self) -> Expected:
        """Raises `KernelDataError` without the kernel's package."""
        return self.machine.known.expected(self.machine.where.slide)

    def original(self, address: int) -> int:
        return int.from_bytes(self.expected.read(self.machine.linked(address), 8), "little")

    def original_bytes(self, address: int, size: int) -> bytes:
        return self.expected.read(self.machine.linked(address), max(0, min(size, SIZE)))

    def system_calls(self) -> list[int]:
        table = self.machine.symbol("sys_call_table")
        after = self.machine.known.symbols.next_address(self.machine.known.symbols.address("sys_call_table"))
        size = (after or 0) - self.machine.known.symbols.address("sys_call_table")
        count = min(max(size // 8, 1), MOST)
        raw = self.machine.read(table, 8 * count)
        while count and not any(
            raw[8 * count - 8 : 8 * count]
        ):  # the linker filled the end of the table with zeros
            count -= 1
        return [table + 8 * i for i in range(count)]

    def proc_operations(self) -> list[int]:
        """Where the pointers to functions stand in the tables of /proc's root and directories; empty ones
        are left out.
        """
        machine, found = self.machine, list[int]()
        for name in ("proc_root_operations", "proc_root_inode_operations", "proc_dir_operations"):
            start = machine.known.symbols.address(name)
            end = machine.known.symbols.next_address(start) or start
            places = range(machine.running(start), machine.running(min(end, start + PAGE)), 8)
            found += [p for p in places if machine.u64(p) >> 32 == 0xFFFFFFFF]
        return found

    def direct_calls(self, function: str) -> list[int]:
        """Targets of `call` and `jmp` with 32-bit distances that leave the function.

        Instructions are not told apart from data within them: a target outside of all code that begins by chance is
        possible only where the package's bytes give it, too.
        """
        start = self.machine.known.symbols.address(function)
        end = self.machine.known.symbols.next_address(start) or start
        size = min(end - start, 1 << 16)
        data = self.machine.read(self.machine.running(start), size)
        image = self.machine.known.image
        wanted = self.expected.read(start, size) if image is not None else data
        found: dict[int, None] = {}
        for at in range(size - 4):
            if data[at] in (0xE8, 0xE9) and (data[at : at + 5] != wanted[at : at + 5] or image is None):
                found[self._target(start + at, data[at + 1 : at + 5])] = None
            elif wanted[at] in (0xE8, 0xE9):
                target = self._target(start + at, wanted[at + 1 : at + 5])
                if self._in_text(target) and not start <= self.machine.linked(target) < end:
                    found[target] = None
        return list(found)

    def _target(self, address: int, distance: bytes) -> int:
        return self.machine.running(address + 5 + int.from_bytes(distance, "little", signed=True))

    def gates(self) -> list[int]:
        raw = self.machine.read(self.machine.symbol("idt_table"), 256 * 16)
        found: dict[int, None] = {}
        for low, _, _, middle, high, _ in struct.iter_unpack("<HHHHII", raw):
            address = low | middle << 16 | high << 32
            if address and not self._early(address):
                found[address] = None
        return list(found)

    def _early(self, address: int) -> bool:
        """Gates that nothing uses still lead to the handlers of early boot, whose memory has been given back."""
        symbols = self.machine.known.symbols
        if "early_idt_handler_array" not in symbols:
            return False
        first = symbols.address("early_idt_handler_array")
        return first <= self.machine.linked(address) < (symbols.next_address(first) or 0)

    # ------------------------------------------------------------ text and tables against the package

    def changed_text(self) -> list[int]:
        expected, machine = self.expected, self.machine
        low, high = expected.text
        found: list[int] = []
        probed = self._probed()
        whole: list[bytes] = []
        for page in range(low, high, PAGE):
            data = machine.read(machine.running(page), min(PAGE, high - page))
            whole.append(data)
            found += [a for a in expected.differences(page, data) if a not in probed]
            found += self._remapped(page)
        found += self._bad_sites(b"".join(whole), low)
        return [machine.running(a) for a in _starts_of(sorted(set(found)))][:MOST]

    def _bad_sites(self, text: bytes, low: int) -> Iterator[int]:
        """Patched places that now call or jump to code which nobody has on record."""
        wanted = self.expected.read(low, len(text))
        for site in self.expected.sites:
            at = site.address - low
            now = text[at : at + 5]
            if site.size < 5 or now[:1] not in (b"\xe8", b"\xe9") or now == wanted[at : at + 5]:
                continue
            if not self.trusted_code(self._target(site.address, now[1:])):
                yield site.address

    def _remapped(self, page: int) -> list[int]:
        """The page, when the page tables lead elsewhere than to its physical place."""
        machine = self.machine
        if page % (2 << 20):
            return []
        try:
            there = machine.tables.translate(machine.running(page))
        except NotMapped:
            return [page]
        return [] if there == machine.where.base + page - machine.text else [page]

    def _probed(self) -> set[int]:
        """Link addresses of bytes under kprobes that the kernel's books have, with trusted handlers."""
        machine, btf = self.machine, self.machine.known.btf
        link, at = btf.field("kprobe", "hlist").offset, btf.field("kprobe", "addr").offset
        found: set[int] = set()
        for bucket in range(64):
            head = machine.symbol("kprobe_table") + 8 * bucket
            for node, _ in walks.singly_headed(machine.read, head, MOST):
                address = machine.linked(machine.u64(node - link + at))
                found.update(range(address, address + 5))  # an optimised one is a jump
        return found

    def changed_pointers(self) -> list[int]:
        machine, found, page, data = self.machine, list[int](), -1, b""
        for word in self.expected.pointers:
            if word // PAGE != page:
                page = word // PAGE
                data = machine.read(machine.running(page * PAGE), PAGE)
            now = int.from_bytes(data[word % PAGE : word % PAGE + 8], "little")
            if now and not self.trusted_code(now):
                found.append(machine.running(word))
        return found[:MOST]

    def changed_tables(self) -> list[int]:
        expected, machine = self.expected, self.machine
        symbols = machine.known.symbols
        start, end = symbols.address("__start_rodata"), symbols.address("__start_ro_after_init")
        found: list[int] = []
        for page in range(start, end, PAGE):
            size = min(PAGE, end - page) & ~7
            data, wanted = machine.read(machine.running(page), size), expected.read(page, size)
            if data != wanted:
                found += [page + i for i in range(0, size, 8) if data[i : i + 8] != wanted[i : i + 8]]
        return [machine.running(a) for a in found][:MOST]


def _starts_of(addresses: list[int]) -> list[int]:
    """The first address of each stretch."""
    return [a for i, a in enumerate(addresses) if i == 0 or addresses[i - 1] < a - 16]


__all__ = ["MASK", "Answers"]
