# SPDX-License-Identifier: Apache-2.0
"""What can be asked about a kernel's code, symbols and constant tables.

*Trusted code* is the kernel's own text, the text of modules that the list of modules has, BPF programs and trampolines
that the kernel has on record.  What the kernel's package says is *original*; those functions need the package.
"""

from __future__ import annotations

from collections.abc import Sequence

from transect.lang import intrinsic, u64


@intrinsic(effect="outside-read")
def symbol(name: str, /) -> u64:
    """Where a symbol of the kernel is now."""
    raise NotImplementedError


@intrinsic(effect="outside-read")
def name_of(address: u64, /) -> str:
    """An address in words: `tcp4_seq_show+0x0`, `[nf_tables]+0x1234`, or the number."""
    raise NotImplementedError


@intrinsic(effect="outside-read")
def trusted_code(address: u64, /) -> bool:
    """Whether code at that address is known to the kernel's own books."""
    raise NotImplementedError


@intrinsic(effect="outside-read")
def u64_at(address: u64, /) -> u64:
    """The 64 bits there."""
    raise NotImplementedError


@intrinsic(effect="outside-read")
def u32_at(address: u64, /) -> u64:
    """The 32 bits there."""
    raise NotImplementedError


@intrinsic(effect="outside-read")
def bytes_at(address: u64, size: int, /) -> bytes:
    """Up to 64 bytes there."""
    raise NotImplementedError


@intrinsic(effect="outside-read")
def original(address: u64, /) -> u64:
    """The 64 bits that the kernel's package has there, moved to where the kernel runs."""
    raise NotImplementedError


@intrinsic(effect="outside-read")
def original_bytes(address: u64, size: int, /) -> bytes:
    """Up to 64 bytes as the kernel's package has them there."""
    raise NotImplementedError


@intrinsic(effect="outside-read")
def system_calls() -> Sequence[u64]:
    """Addresses of the entries of the table of system calls."""
    raise NotImplementedError


@intrinsic(effect="outside-read")
def direct_calls(function: str, /) -> Sequence[u64]:
    """Where a function of the kernel jumps to or calls, out of itself, as its code says now."""
    raise NotImplementedError


@intrinsic(effect="outside-read")
def gates() -> Sequence[u64]:
    """The functions behind interrupts and exceptions (IDT)."""
    raise NotImplementedError


@intrinsic(effect="outside-read")
def changed_text() -> Sequence[u64]:
    """Where the kernel's code differs from its package, patch sites apart.

    Code is read at its physical place and through the page tables; both count.
    """
    raise NotImplementedError


@intrinsic(effect="outside-read")
def changed_tables() -> Sequence[u64]:
    """Pointers in the kernel's constant tables (operations of files, of /proc …) that differ from its package."""
    raise NotImplementedError


@intrinsic(effect="outside-read")
def changed_pointers() -> Sequence[u64]:
    """Where the kernel's writable data had pointers to functions, as its package says, that lead to no trusted code
    now."""
    raise NotImplementedError


@intrinsic(effect="outside-read")
def stray_code() -> Sequence[u64]:
    """Executable pages of the kernel's half of memory which no module, BPF program or trampoline accounts for."""
    raise NotImplementedError
