# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - lines of C
"""A program around the emitted scanner: it reads messages and edits from a file, and writes what it found and made."""

from __future__ import annotations

import math
import random
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transect.core.codec import Reader
from transect.emit.c import tree as c
from transect.emit.c.printer import render
from transect.rpc.messages.plan import Plan, Plans, Slot
from transect.rpc.messages.rewriter import stored
from transect.rpc.messages.scanner import Node, default_of
from transect.rpc.messages.wire import BITS, Kind, Presence, ProtoField
from transect.rpc.native.scan import Scanners, pieces_name, plain_type, value_name, widened

ROOT = Path(__file__).parents[3] / "src" / "transect"
INCLUDES = [f"-I{ROOT / 'rpc' / 'runtime'}", f"-I{ROOT / 'emit' / 'c' / 'runtime'}"]
CHECKS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
FLAGS = ["-std=c11", "-O0", "-g", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off"]


@dataclass(frozen=True)
class Edit:
    """A field of the root, or of a sub-message of it, takes a value; None: is taken out."""

    outer: Slot | None
    slot: Slot
    value: Any


# ---------------------------------------------------------------- the C text


def _value(f: ProtoField, e: str) -> str:
    match plain_type(f.kind):
        case c.SLICE:
            return f"ts_write_text(out, {e});"
        case c.DOUBLE:
            return f"ts_write_float(out, {e});"
        case c.BOOL:
            return f"ts_write_u8(out, {e});"
        case _:
            return f"ts_write_u64(out, (uint64_t){e});"


def _spell(e: c.Expr) -> str:
    return render("", [c.Var("x", c.I64, e)]).strip().removeprefix("int64_t x = ").removesuffix(";")


def _whole(names: dict[str, str], inner: str, content: str) -> str:
    return f"{{ struct {names[inner]} it = {{0}}; struct ts_cursor w = ts_cursor({content}, arena); scan_{names[inner]}(&it, &w); dump_{names[inner]}(&it, arena, out); }}"


def _datum(names: dict[str, str], f: ProtoField, inner: str, e: str) -> str:
    if inner:
        return _whole(names, inner, f"{e}.content")
    if f.kind in (Kind.STRING, Kind.BYTES):
        return _value(f, f"{e}.content")
    decode = {Kind.FLOAT: "ts_float", Kind.DOUBLE: "ts_double"}.get(f.kind, "")
    return _value(f, f"{decode}({e}.number)")


def _dump_slot(s: Scanners, plan: Plan, slot: Slot) -> str:
    f, held, names = slot.field, f"m->{value_name(slot)}", s.names
    has = f"ts_write_u8(out, m->has >> {slot.index} & 1); if (m->has >> {slot.index} & 1)"
    match f.presence:
        case Presence.MAP:
            assert slot.key is not None and slot.value is not None
            key, value = (
                _datum(names, slot.key, "", f"{held}.items[i].key"),
                _datum(names, slot.value, slot.inner, f"{held}.items[i].value"),
            )
            return f"ts_write_u32(out, {held}.count); for (uint32_t i = 0; i < {held}.count; i++) {{ {key} {value} }}"
        case Presence.REPEATED if f.kind.nested:
            return f"ts_write_u64(out, {held}.length); for (uint32_t i = 0; i < {held}.count; i++) {_whole(names, slot.inner, f'{held}.items[i]')}"
        case Presence.REPEATED if f.kind in (Kind.STRING, Kind.BYTES):
            return f"ts_write_u64(out, {held}.length); for (uint32_t i = 0; i < {held}.count; i++) {{ {_value(f, f'{held}.items[i]')} }}"
        case Presence.REPEATED:
            numbers, count = s.closed(plan, slot)
            wire = {0: "TS_VARINT", 1: "TS_FIXED64", 5: "TS_FIXED32"}[f.kind.wire]
            following = (
                f"ts_next_number(&each, {wire}, &raw)"
                if numbers == c.NULL
                else f"ts_next_named(&each, {wire}, {_spell(numbers)}, {_spell(count)}, &raw)"
            )
            return f"ts_write_u64(out, {held}.length); {{ struct ts_numbers each = ts_numbers(&{held}); uint64_t raw; while ({following}) {{ {_value(f, _spell(widened(f.kind, c.name('raw'))))} }} }}"
        case _ if slot.nested:
            return f"{has} {{ dump_{names[slot.inner]}({_spell(s.inner(plan, slot))}, arena, out); }}"
        case Presence.EXPLICIT:
            return f"{has} {{ {_value(f, held)} }}"
        case _:
            return _value(f, held)


def _taken(f: ProtoField) -> str:
    match plain_type(f.kind):
        case c.SLICE:
            return "ts_read_blob(in)"
        case c.DOUBLE:
            return "ts_read_float(in)"
        case c.BOOL:
            return "ts_read_u8(in)"
        case c.U64:
            return "ts_read_u64(in)"
        case _:
            return "ts_read_i64(in)"


def _edit_case(s: Scanners, plan: Plan, slot: Slot) -> str:
    """Assigning, as the emitted chain does it."""
    rivals, own = sum(1 << r.index for r in plan.rivals(slot)), 1 << slot.index
    held = f"m->{value_name(slot)}"
    if slot.nested:
        fresh = (
            f"{held} = ts_take_zeroed(arena, sizeof *{held});"
            if s.boxed(plan, slot)
            else f"{held} = (struct {s.names[slot.inner]}){{0}};"
        )
        enter = f"if (!(m->has & {own}u)) {{ {fresh} m->{pieces_name(slot)} = (struct ts_pieces){{0}}; m->has = (m->has & ~{rivals}ull) | {own}ull; m->dirty |= {own}ull; }} edit_{s.names[slot.inner]}({_spell(s.inner(plan, slot))}, arena, in);"
        return f"case {slot.index}: if (clear) {{ if (m->has & {own}u) {{ m->has &= ~{own}ull; m->dirty |= {own}ull; }} }} else {{ {enter} }} break;"
    default = "" if slot.field.presence is Presence.EXPLICIT else "m->has &= ~0ull;"
    return f"case {slot.index}: if (clear) {{ if (m->has & {own}ull) {{ m->has &= ~{own}ull; m->dirty |= {own}ull; }} }} else {{ {held} = {_taken(slot.field)}; {default} m->has = (m->has & ~{rivals}ull) | {own}ull; m->dirty |= {own}ull; }} break;"


def _functions(s: Scanners, plan: Plan) -> str:
    name = s.names[plan.message]
    dumps = "\n    ".join(_dump_slot(s, plan, slot) for slot in plan.visible)
    cases = "\n    ".join(_edit_case(s, plan, slot) for slot in plan.visible if slot.written)
    return f"""
TS_INLINE void dump_{name}(const struct {name} *m, struct ts_arena *arena, struct ts_writer *out)
{{
    (void)arena; (void)m;
    {dumps}
}}
TS_INLINE void edit_{name}(struct {name} *m, struct ts_arena *arena, struct ts_reader *in)
{{
    uint8_t slot = ts_read_u8(in), clear = ts_read_u8(in);
    (void)arena;
    switch (slot) {{
    {cases}
    default: break;
    }}
}}
"""


def source(plans: Plans, root: str) -> str:
    s = Scanners(plans)
    name = s.names[root]
    heads = "\n".join(
        f"TS_INLINE void dump_{n}(const struct {n} *m, struct ts_arena *arena, struct ts_writer *out);\nTS_INLINE void edit_{n}(struct {n} *m, struct ts_arena *arena, struct ts_reader *in);"
        for n in s.names.values()
    )
    return f"""#include <stdio.h>
#include <stdlib.h>
{render("scan.c", [c.Include("rewrite.h"), *s.declarations()], marks=False)}
{heads}
{"".join(_functions(s, plan) for plan in plans.values())}
/* A copy on the heap: reading beyond its end is noticed. */
static ts_slice alone(ts_slice text) {{ uint8_t *p = malloc(text.size ? text.size : 1); if (text.size) memcpy(p, text.data, text.size); return (ts_slice){{p, text.size}}; }}
int main(int argc, char **argv)
{{
    static uint8_t input[1 << 26], output[1 << 24];
    FILE *file = fopen(argv[argc - 1], "rb");
    struct ts_reader in = {{input, fread(input, 1, sizeof input, file), false}};
    fclose(file);
    for (uint32_t left = ts_read_u32(&in); left > 0; left--) {{
        ts_slice message = alone(ts_read_blob(&in));
        struct ts_arena arena;
        ts_arena_begin(&arena);
        struct {name} m = {{0}};
        struct ts_cursor c = ts_cursor(message, &arena);
        struct ts_writer out = {{output, sizeof output, 0}};
        bool good = scan_{name}(&m, &c);
        ts_write_u8(&out, good);
        if (good) dump_{name}(&m, &arena, &out);
        for (uint32_t edits = ts_read_u32(&in); edits > 0; edits--) {{
            struct ts_reader edit = {{NULL, 0, false}};
            ts_slice bytes = ts_read_blob(&in);
            edit.data = bytes.data; edit.left = bytes.size;
            if (good) edit_{name}(&m, &arena, &edit);
        }}
        if (good) {{
            struct ts_pieces whole = {{&message, 1, 1, 1}};
            struct ts_buffer made = ts_buffer(&arena);
            rewrite_{name}(&m, &whole, &made);
            ts_write_u8(&out, changed_{name}(&m));
            ts_write_text(&out, ts_written(&made));
        }}
        if (out.size > out.room) abort();
        fwrite(output, 1, out.size, stdout);
        ts_arena_end(&arena);
        free((void *)message.data);
    }}
    return 0;
}}
"""


# ---------------------------------------------------------------- running it


@dataclass(frozen=True)
class Harness:
    plans: Plans
    root: str
    program: Path

    @staticmethod
    def build(plans: Plans, root: str, folder: Path, flags: list[str] | None = None) -> Harness:
        path = folder / "harness.c"
        path.write_text(source(plans, root))
        program = folder / "harness"
        subprocess.run(
            ["gcc", *FLAGS, *(CHECKS if flags is None else flags), *INCLUDES, str(path), "-o", str(program)],
            check=True,
        )
        return Harness(plans, root, program)

    def run(self, cases: list[tuple[bytes, list[Edit]]]) -> list[Found | None]:
        data = bytearray(len(cases).to_bytes(4, "little"))
        for message, edits in cases:
            data += len(message).to_bytes(4, "little") + message + len(edits).to_bytes(4, "little")
            for edit in edits:
                text = encode_edit(edit)
                data += len(text).to_bytes(4, "little") + text
        path = self.program.with_name("input")
        path.write_bytes(data)
        done = subprocess.run([self.program, path], capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr.decode()[:4000]
        reader = Reader(done.stdout)
        return [self._found(reader) for _ in cases]

    def _found(self, reader: Reader) -> Found | None:
        if not reader.integer(1):
            return None
        values = self._message(reader, self.plans[self.root])
        return Found(values, bool(reader.integer(1)), reader.sized())

    def _message(self, reader: Reader, plan: Plan) -> dict[str, Any]:
        return {slot.field.name: self._slot(reader, slot) for slot in plan.visible}

    def _slot(self, reader: Reader, slot: Slot) -> Any:
        f = slot.field
        match f.presence:
            case Presence.MAP:
                assert slot.key is not None and slot.value is not None
                return {
                    self._one(reader, slot.key, ""): self._one(reader, slot.value, slot.inner)
                    for _ in range(reader.integer(4))
                }
            case Presence.REPEATED:
                return [self._one(reader, f, slot.inner) for _ in range(reader.integer(8))]
            case Presence.EXPLICIT if reader.integer(1):
                return ("present", self._one(reader, f, slot.inner))
            case Presence.EXPLICIT:
                default = default_of(f)
                return ("absent", struct.pack("<d", default) if isinstance(default, float) else default)
            case _:
                return self._one(reader, f, slot.inner)

    def _one(self, reader: Reader, f: ProtoField, inner: str) -> Any:
        if inner:
            return self._message(reader, self.plans[inner])
        match plain_type(f.kind):
            case c.SLICE:
                data = reader.sized()
                return data.decode() if f.kind is Kind.STRING else data
            case c.DOUBLE:
                bits = reader.take(8)
                return "nan" if math.isnan(struct.unpack("<d", bits)[0]) else bits
            case c.BOOL:
                return bool(reader.integer(1))
            case c.U64:
                return reader.integer(8)
            case _:
                return reader.integer(8, signed=True)


@dataclass(frozen=True)
class Found:
    values: dict[str, Any]
    changed: bool
    rewritten: bytes


# ---------------------------------------------------------------- edits


def encode_edit(edit: Edit) -> bytes:
    head = b"" if edit.outer is None else bytes((edit.outer.index, 0))
    if edit.value is None:
        return head + bytes((edit.slot.index, 1))
    return head + bytes((edit.slot.index, 0)) + _encoded(edit.slot.field, stored(edit.slot.field, edit.value))


def _encoded(f: ProtoField, value: Any) -> bytes:
    match value:
        case str() | bytes():
            data = value.encode() if isinstance(value, str) else value
            return len(data).to_bytes(4, "little") + data
        case bool():
            return bytes((value,))
        case float():
            return struct.pack("<d", value)
        case _:
            return int(value).to_bytes(8, "little", signed=value < 0)


def random_edits(rng: random.Random, plans: Plans, root: str) -> list[Edit]:
    return [edit for _ in range(rng.randrange(4)) if (edit := _random_edit(rng, plans, root)) is not None]


def _random_edit(rng: random.Random, plans: Plans, root: str) -> Edit | None:
    slot = rng.choice([s for s in plans[root].visible if s.written])
    clear = slot.field.presence is Presence.EXPLICIT and rng.random() < 0.4
    if not slot.nested:
        return Edit(None, slot, None if clear else random_value(rng, slot.field))
    if clear:
        return Edit(None, slot, None)
    inner = rng.choice([s for s in plans[slot.inner].visible if s.written and not s.nested])
    return Edit(slot, inner, random_value(rng, inner.field))


def random_value(rng: random.Random, f: ProtoField) -> Any:
    match plain_type(f.kind):
        case c.SLICE:
            text = rng.choice(("", "x", "eve", "grün", "y" * 200))
            return text if f.kind is Kind.STRING else text.encode()
        case c.DOUBLE:
            nan = struct.unpack("<d", struct.pack("<Q", rng.choice((0xFFF8, 0x7FF9, 0x7FF8)) << 48 | 5))[0]
            return rng.choice((0.0, -0.0, 1.5, 1e300, 0.1, math.inf, math.nan, nan))
        case c.BOOL:
            return rng.random() < 0.5
    if f.enum is not None:
        return rng.choice(f.enum.members)[1]
    bits, is_signed = BITS[f.kind]
    return rng.choice((0, 1, 127, 128, (1 << (bits - 1)) - 1, -1 if is_signed else (1 << bits) - 1))


def apply(node: Node, plans: Plans, edit: Edit) -> None:
    from transect.rpc.messages.rewriter import assign

    if edit.outer is None:
        assign(node, edit.slot, edit.value)
        return
    if not node.present(edit.outer):
        assign(node, edit.outer, Node(plans[edit.outer.inner]))
    assign(node.values[edit.outer.index], edit.slot, edit.value)


def apply_google(message: Any, edit: Edit) -> None:
    if edit.outer is not None:
        message = getattr(message, edit.outer.field.name)
        message.SetInParent()
    name, f = edit.slot.field.name, edit.slot.field
    if edit.value is None:
        message.ClearField(name)
    else:
        setattr(message, name, stored(f, edit.value))
