# SPDX-License-Identifier: Apache-2.0
"""A plan's tables for C: how fields, views and containers of a program lie in one kernel (runtime/views.h), and where
the kernel keeps its books of code (runtime/asked.h).  Structures here and there have the same members.
"""

from __future__ import annotations

import ctypes as ct
from typing import Any

from transect.core.ir import Program
from transect.core.types import BytesType, OptionType, SeqType, TextType, ViewType
from transect.linux.btf import Btf, Kind
from transect.linux.btf import Type as KernelType
from transect.linux.errors import KernelDataError
from transect.linux.kallsyms import Symbols
from transect.memory import walks
from transect.memory.fitting import fitting
from transect.memory.layout import Layout
from transect.memory.module_code import ModuleCode
from transect.memory.native.lowering import MemoryViews
from transect.memory.paths import Path, resolve, root
from transect.memory.questions import KEXEC
from transect.memory.roots import layouts_of_roots
from transect.memory.views import Bound, Views

STEPS, FARS, NONE = 6, 8, 0xFFFFFFFF
U32, U64, I64 = ct.c_uint32, ct.c_uint64, ct.c_int64
CONTAINERS = (
    "listed", "hlist", "chain", "tree", "latch", "idr", "maple", "hashed",
    "array", "pointers", "offsets", "single", "percpu", "together",
)  # fmt: skip
NUMBER, PLACE, ARRAY_TEXT, POINTED_TEXT, EMBEDDED, POINTED = range(6)


class CPath(ct.Structure):
    _fields_ = (("offsets", U64 * STEPS), ("count", U64))

    @staticmethod
    def of(path: Path) -> CPath:
        """Raises `KernelDataError` for a path of more pointers than C follows."""
        if len(path.offsets) > STEPS:
            raise KernelDataError(f"`{path.text}` follows more than {STEPS - 1} pointers")
        return CPath((U64 * STEPS)(*path.offsets), len(path.offsets))


class CField(ct.Structure):
    _fields_ = (
        ("path", CPath), ("symbol", U64), ("kind", U32), ("size", U32), ("bit", U32), ("bits", U32),
        ("is_signed", U32), ("far", U32), ("view", U32), ("unused", U32),
    )  # fmt: skip


class CStretch(ct.Structure):
    _fields_ = (("path", CPath), ("low", I64), ("high", I64))


class CView(ct.Structure):
    _fields_ = (("low", I64), ("high", I64), ("fars", U64), ("far", CStretch * FARS))


class CWindow(ct.Structure):
    _fields_ = (("before", U64), ("after", U64))


class CLayout(ct.Structure):
    _fields_ = (
        ("path", CPath), ("count_path", CPath), ("symbol", U64), ("until", U64), ("link", U64), ("stride", U64),
        ("fixed", U64), ("count_size", U64), ("least", U64), ("most", U64), ("window", CWindow), ("kind", U32),
        ("is_pointer", U32), ("behind", U32), ("values", U32), ("view", U32), ("inner", U32), ("parts", U32),
        ("parts_count", U32), ("name", ct.c_char_p),
    )  # fmt: skip


class CShapes(ct.Structure):
    _fields_ = (
        ("xa_shift", U64), ("xa_parent", U64), ("xa_slots", U64), ("xa_head", U64), ("idr", U64), ("ma_root", U64),
        ("wide", U64 * 3), ("gaps", U64 * 3), ("dense", U64 * 2), ("latch_seq", U64), ("latch_trees", U64),
        ("rb_node", U64),
    )  # fmt: skip


class CPerCpu(ct.Structure):
    _fields_ = (("count", U64), ("mask", U64), ("offsets", U64))


class CBooks(ct.Structure):
    _fields_ = (
        ("modules", U64), ("module_list", U64), ("module_code", U64), ("module_bytes", U64), ("code_bases", U64 * 2),
        ("code_sizes", U64 * 2), ("bpf", U64), ("bpf_link", U64), ("trampolines", U64), ("ops_list", U64),
        ("ops_trampoline", U64), ("ops_size", U64), ("slots", U64 * 2), ("slot_pages", U64), ("page_list", U64),
        ("page_insns", U64), ("packs", U64), ("pack_list", U64), ("pack_pointer", U64), ("kprobes", U64),
        ("kprobe_link", U64), ("kprobe_address", U64),
        ("real_mode", U64), ("real_mode_text", U64), ("real_mode_end", U64), ("kexec", U64 * 2),
        ("kexec_control", U64), ("vmemmap", U64), ("page_size", U64), ("calls", U64), ("calls_end", U64),
        ("idt", U64), ("early", U64), ("early_end", U64), ("tables", U64), ("tables_end", U64),
    )  # fmt: skip


class CPlan(ct.Structure):
    _fields_ = (
        ("fields", ct.POINTER(CField)), ("views", ct.POINTER(CView)), ("layouts", ct.POINTER(CLayout)),
        ("shapes", CShapes), ("processors", CPerCpu), ("books", ct.POINTER(CBooks)),
    )  # fmt: skip


# ---------------------------------------------------------------- a program's


class Tables:
    """The tables of one program in one kernel."""

    def __init__(self, program: Program, views: Views, lowered: MemoryViews) -> None:
        """Raises `KernelDataError` which names what this kernel does not have."""
        self._views = views
        self._btf: Btf = views.btf
        self._symbols: Symbols = views.machine.known.symbols
        self._numbers = {name: i for i, name in enumerate(views.bounds)}
        self._roots = {i.name: i.returns for i in program.intrinsics}
        self._fars: dict[str, list[tuple[int, ...]]] = {}
        self._first = len(lowered.walks)
        self._further: list[CLayout] = []  # further layouts that walks need; they stand behind the walks
        made = [self._view(name) for name in views.bounds]
        bounds = {(view, b.name): b for view, found in views.bounds.items() for b in found}
        fields = [self._field(view, bounds[view, name]) for view, name in lowered.fields]
        walked = [self._walked(view, name, bounds) for view, name in lowered.walks]
        self._keep = (_array(CField, fields), _array(CView, made), _array(CLayout, [*walked, *self._further]))
        self._books = books(self._btf, self._symbols)
        self.plan = CPlan(*self._keep, shapes(self._btf), processors(self._symbols), ct.pointer(self._books))

    def _view(self, name: str) -> CView:
        low, high = self._views.stretch(name)
        stretches = self._views.stretches(name)
        if len(stretches) > FARS:
            raise KernelDataError(f"{name} is read behind more than {FARS} pointers")
        self._fars[name] = list(stretches)
        far = [
            CStretch(CPath.of(Path((*pointers, 0), self._views.struct_of(name))), first, last)
            for pointers, (first, last) in stretches.items()
        ]
        return CView(low, high, len(far), (CStretch * FARS)(*far))

    def _field(self, view: str, bound: Bound) -> CField:
        assert bound.path is not None, f"{bound.name} is a walk"
        path, kind = bound.path, bound.path.type.kind
        of = PLACE if kind in (Kind.STRUCT, Kind.UNION, Kind.ARRAY) else NUMBER
        if isinstance(bound.type, ViewType | OptionType):
            of = POINTED if kind is Kind.PTR else EMBEDDED
        elif isinstance(bound.type, BytesType | TextType):
            of = POINTED_TEXT if kind is Kind.PTR else ARRAY_TEXT
        pointers = path.offsets[:-1]
        fars = self._fars[view]
        return CField(
            path=CPath.of(path), kind=of, size=self._btf.size_of(path.type.id), bit=path.bit, bits=path.bits,
            is_signed=path.type.signed, far=fars.index(pointers) if pointers in fars else NONE,
            view=self._numbers.get(bound.view, NONE),
        )  # fmt: skip

    # ------------------------------------------------------------ containers

    def _walked(self, view: str, name: str, bounds: dict[tuple[str, str], Bound]) -> CLayout:
        if not view:
            returns = self._roots[name]
            assert isinstance(returns, SeqType), f"{name} is no walk"
            return self._layout(layouts_of_roots()[name], None, returns)
        bound = bounds[view, name]
        assert bound.layout is not None and isinstance(bound.type, SeqType), f"{name} is no walk"
        return self._layout(bound.layout, self._views.struct_of(view), bound.type)

    def _layout(self, found: Layout, struct: KernelType | None, t: SeqType | None) -> CLayout:
        """`t`: None for a container in whose elements another begins."""
        found = fitting(found, self._btf, self._symbols, struct)
        view = t.item.name if t is not None and isinstance(t.item, ViewType) else ""
        of = self._views.struct_of(view) if view else self._btf.struct(found.of) if found.of else None
        made = CLayout(
            kind=CONTAINERS.index(found.kind), least=found.least, most=found.most, inner=NONE, parts=NONE,
            view=self._numbers[view] if view else NONE, name=(found.path or found.kind).encode(),
            stride=of.size if of is not None else 8, values=of is None,
        )  # fmt: skip
        if found.kind == "together":
            parts = [self._layout(part, struct, t) for part in found.parts]
            made.parts, made.parts_count = self._put(parts), len(parts)
            return made
        if found.by:
            assert of is not None, "a link lies within an element"
            made.link = resolve(self._btf, of, found.by).first
            window = (
                self._views.window(view, made.link) if found.kind not in ("tree", "latch") else walks.PLAIN
            )
            made.window = CWindow(window.before, window.after)
        if found.until:
            made.until = self._symbols.address(found.until)
        self._begin(made, found, struct)
        return made

    def _put(self, parts: list[CLayout]) -> int:
        """Put layouts behind the walks; return the number of the first."""
        first = self._first + len(self._further)
        self._further += parts
        return first

    def _begin(self, made: CLayout, found: Layout, struct: KernelType | None) -> None:
        """Where the container begins, and where its number of elements stands."""
        owner = struct
        if found.inner is not None:
            owner = self._btf.struct(found.inner.of)
            made.inner = self._put([self._layout(found.inner, struct, None)])
        if owner is None or found.kind == "percpu":
            start = root(self._btf, found.path)
            made.symbol, made.is_pointer = self._symbols.address(start.symbol), start.pointer
            path = start.path
        else:
            path = resolve(self._btf, owner, found.path)
        made.path = CPath.of(path)
        made.behind = found.kind in ("array", "pointers", "percpu") and path.type.kind is Kind.PTR
        if isinstance(found.count, int):
            made.fixed = found.count
        else:
            assert owner is not None, "a number stands in the structure around"
            counted = resolve(self._btf, owner, found.count)
            made.count_path, made.count_size = CPath.of(counted), self._btf.size_of(counted.type.id)


def _array(kind: type[ct.Structure], items: list[Any]) -> Any:
    return (kind * max(len(items), 1))(*items)


# ---------------------------------------------------------------- a kernel's


def shapes(btf: Btf) -> CShapes:
    xa, ma, latch = walks.XArrayLayout.of(btf), walks.MapleLayout.of(btf), btf.struct("latch_tree_root")
    return CShapes(
        xa.shift, xa.parent, xa.slots, xa.head, xa.idr, ma.root, (U64 * 3)(*ma.wide), (U64 * 3)(*ma.gaps),
        (U64 * 2)(*ma.dense), btf.field(latch, "seq").offset, btf.field(latch, "tree").offset,
        btf.struct("rb_node").size,
    )  # fmt: skip


def processors(symbols: Symbols) -> CPerCpu:
    names = ("nr_cpu_ids", "__cpu_online_mask", "__per_cpu_offset")
    return CPerCpu(*(symbols.address(n) for n in names))


def books(btf: Btf, symbols: Symbols) -> CBooks:
    """Raises `KernelDataError` which names what this kernel does not have."""

    def at(struct: str, field: str) -> int:
        return btf.field(struct, field).offset

    def symbol(name: str) -> int:
        return symbols.address(name) if name in symbols else 0

    code = ModuleCode.of(btf)
    bases, sizes = zip(*code.parts, strict=True)
    named: dict[str, Any] = {
        "modules": symbols.address("modules"), "module_list": at("module", "list"),
        "module_code": code.start, "module_bytes": code.size,
        "code_bases": (U64 * 2)(*bases), "code_sizes": (U64 * 2)(*sizes), "bpf": symbols.address("bpf_kallsyms"),
        "bpf_link": at("bpf_ksym", "lnode"), "trampolines": symbols.address("ftrace_ops_trampoline_list"),
        "ops_list": at("ftrace_ops", "list"), "ops_trampoline": at("ftrace_ops", "trampoline"),
        "ops_size": at("ftrace_ops", "trampoline_size"),
        "slots": (U64 * 2)(symbol("kprobe_insn_slots"), symbol("kprobe_optinsn_slots")),
        "slot_pages": at("kprobe_insn_cache", "pages"), "page_list": at("kprobe_insn_page", "list"),
        "page_insns": at("kprobe_insn_page", "insns"), "packs": symbols.address("pack_list"),
        "pack_list": at("bpf_prog_pack", "list"), "pack_pointer": at("bpf_prog_pack", "ptr"),
        "kprobes": symbols.address("kprobe_table"), "kprobe_link": at("kprobe", "hlist"),
        "kprobe_address": at("kprobe", "addr"), "real_mode": symbol("real_mode_header"),
        "real_mode_text": at("real_mode_header", "text_start"), "real_mode_end": at("real_mode_header", "ro_end"),
        "kexec": (U64 * 2)(*(symbol(n) if "vmemmap_base" in symbols else 0 for n in KEXEC)),
        "kexec_control": at("kimage", "control_code_page") if symbol("kexec_image") else 0,
        "vmemmap": symbol("vmemmap_base"), "page_size": btf.struct("page").size,
        "calls": symbols.address("sys_call_table"),
        "calls_end": symbols.next_address(symbols.address("sys_call_table")) or 0,
        "idt": symbols.address("idt_table"), "early": symbol("early_idt_handler_array"),
        "early_end": symbols.next_address(symbol("early_idt_handler_array")) or 0,
        "tables": symbols.address("__start_rodata"), "tables_end": symbols.address("__start_ro_after_init"),
    }  # fmt: skip
    return CBooks(**named)
