# SPDX-License-Identifier: Apache-2.0
"""kallsyms in both forms, written by the test as the kernel's build does, and damaged."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transect.linux import KernelDataError
from transect.linux.kallsyms import BANNER, Names, Symbols, find

BASE = 0xFFFFFFFF81000000
NAMES = [f"Tfunction_{i}" for i in range(600)]
FORMS = ["relative", "placed", "before", "before, no order"]
TOKENS = [bytes([i]) if 32 < i < 127 else b"func" if i == 200 else b"" for i in range(256)]


def aligned(data: bytes, to: int = 8) -> bytes:
    return data + bytes(-len(data) % to)


def a_table(form: str, swapped: int | None = None) -> tuple[bytes, dict[str, int]]:
    """A stretch of read-only data with a symbol table, and what it says.

    `swapped`: two neighbours in the order of names, from this one on, are not in order; -1: the table has no order.
    """
    before = form.startswith("before")
    names = [*NAMES, "Rlinux_banner", "Rlinux_proc_banner" if before else "dkallsyms_offsets"]
    packed, marks = b"", []
    for number, name in enumerate(names):
        if number % 256 == 0:
            marks.append(len(packed))
        raw = name.encode().replace(b"func", b"\xc8")
        packed += bytes([len(raw)]) + raw
    tokens = b"".join(t + b"\0" for t in TOKENS)
    index, at = [], 0
    for t in TOKENS:
        index.append(at)
        at += len(t) + 1
    head = aligned(BANNER + b"9.9 (test)\n\0", 64) + (aligned(b"%s version %s", 64) if before else b"")
    named = aligned(struct.pack("<I", len(names))) + aligned(packed)
    named += aligned(struct.pack(f"<{len(marks)}I", *marks))
    translated = aligned(tokens) + struct.pack("<256H", *index)
    start = BASE
    offsets_at = start + len(head) + (0 if before else len(named) + len(translated))
    last = start + 64 if before else offsets_at
    addresses = [BASE - 0x10000 + 16 * i for i in range(len(NAMES))] + [start, last]
    order = sorted(range(len(names)), key=lambda i: addresses[i])
    assert order == list(range(len(names)))
    if form == "placed":
        offsets = struct.pack(f"<{len(names)}i", *(a - offsets_at - 4 * i for i, a in enumerate(addresses)))
    else:
        relative = addresses[0]
        offsets = struct.pack(f"<{len(names)}i", *(relative - 1 - a for a in addresses))
        offsets = aligned(offsets) + struct.pack("<Q", relative)
    by_name = sorted(range(len(names)), key=lambda i: names[i][1:])
    if swapped is not None and swapped >= 0:
        by_name[swapped : swapped + 2] = reversed(by_name[swapped : swapped + 2])
    ordered = (
        b"" if swapped == -1 or form.endswith("no order") else b"".join(i.to_bytes(3, "big") for i in by_name)
    )
    if before:
        whole = head + offsets + named + aligned(ordered) + translated
    else:
        whole = head + named + translated + offsets + ordered
    return whole + bytes(64), {n[1:]: a for n, a in zip(names, addresses, strict=True)}


def found(data: bytes, address: int | None = BASE) -> Symbols:
    symbols = find(data, address)
    assert symbols is not None
    return symbols


@pytest.mark.parametrize("form", FORMS)
def test_every_symbol_has_its_address(form: str) -> None:
    data, wanted = a_table(form)
    assert {s.name: s.address for s in found(data)} == wanted


@pytest.mark.parametrize("form", FORMS[:3])
def test_a_name_is_found_by_the_order_that_the_kernel_holds(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, wanted = a_table(form)
    unpacked: list[int] = []
    one = Names.__getitem__
    monkeypatch.setattr(Names, "__getitem__", lambda self, at: unpacked.append(at) or one(self, at))
    symbols = found(data)
    assert {
        name: symbols.address(name) for name in ("function_599", "linux_banner")
    }.items() <= wanted.items()
    assert "function_6000" not in symbols and "Tfunction_6" not in symbols
    assert len(unpacked) < len(NAMES), "most names stay packed"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("swapped", [-1, 0, 9 * 33])  # one of nine neighbours is looked at
def test_without_an_order_that_serves_the_names_are_sorted(form: str, swapped: int) -> None:
    data, wanted = a_table(form, swapped)
    symbols = found(data)
    assert not len(symbols.order)
    assert {name: symbols.address(name) for name in wanted} == wanted


def test_a_name_that_several_symbols_have_is_refused() -> None:
    names = (b"Ttwice", b"Tonce", b"dtwice")
    for order in ((), (1, 0, 2)):
        symbols = Symbols(names, (1, 2, 3), order)
        assert symbols.address("once") == 2 and "twice" in symbols
        with pytest.raises(
            KernelDataError, match="2 symbols `twice`, and which is meant cannot be told: 0x1, 0x3"
        ):
            symbols.address("twice")
    many = Symbols((b"tmany",) * 9, tuple(range(9)))
    with pytest.raises(KernelDataError, match=r"9 symbols `many`, .*: 0x0, 0x1, 0x2, 0x3, …"):
        many.address("many")


def test_one_place_under_one_name_twice_is_one_symbol() -> None:
    assert Symbols((b"Talias", b"talias"), (7, 7)).address("alias") == 7


@pytest.mark.parametrize("form", [form for form in FORMS if form != "placed"])
def test_the_address_of_the_stretch_is_found_when_addresses_are_absolute(form: str) -> None:
    data, wanted = a_table(form)
    assert found(data, None).address("function_7") == wanted["function_7"]


def test_addresses_count_from_the_stretch_when_they_are_by_place() -> None:
    data, wanted = a_table("placed")
    assert found(data, None).address("function_7") == (wanted["function_7"] - BASE) % 2**64


def test_the_nearest_symbol_and_how_far() -> None:
    data, wanted = a_table("placed")
    assert found(data).near(wanted["function_7"] + 5) == ("function_7", 5)


def test_a_missing_symbol_is_named() -> None:
    data, _ = a_table("placed")
    with pytest.raises(KernelDataError, match="no symbol `nothing`"):
        found(data).address("nothing")


def test_data_without_a_table() -> None:
    assert find(bytes(10000), BASE) is None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("address", [BASE, None])
def test_a_table_whose_banner_is_elsewhere_is_refused(form: str, address: int | None) -> None:
    data, _ = a_table(form)
    with pytest.raises(KernelDataError, match="addresses"):
        find(data.replace(BANNER, b"Minix version "), address)
    if form.startswith("before"):
        with pytest.raises(KernelDataError, match="addresses"):
            find(data.replace(b"%s version", b"%s_version"), None)


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
@settings(max_examples=150)
def test_no_damage_raises_anything_else(form: str, data: st.DataObject) -> None:
    whole = bytearray(a_table(form)[0])
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=6)):
        whole[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(KernelDataError):
        find(bytes(whole[: data.draw(st.integers(0, len(whole)))]), BASE)
    with contextlib.suppress(KernelDataError):
        find(bytes(whole), None)
