# SPDX-License-Identifier: Apache-2.0
"""Kinds of numbers.  Type checkers see `int`; the compiler keeps them apart and refuses to mix them."""

from typing import TypeAlias

u64: TypeAlias = int
"""Addresses, hashes, masks, kernel words: unsigned 64 bits, wraps."""

u8: TypeAlias = int
u16: TypeAlias = int
u32: TypeAlias = int
i8: TypeAlias = int
i16: TypeAlias = int
i32: TypeAlias = int
"""Narrow integers are for storage in views and state: a load widens to `int`, a store truncates; arithmetic has 64
bits.
"""

Instant: TypeAlias = int
"""A point in time, in nanoseconds since an epoch of the runtime's choice."""

Duration: TypeAlias = int
"""A length of time, in nanoseconds."""
