# SPDX-License-Identifier: Apache-2.0
"""`hash64` is XXH64: what others compute for the same bytes and seed."""

from __future__ import annotations

import pytest

from transect.core.stable import hash64

DATA = bytes(range(256)) * 2
# By the reference library, of so many bytes of DATA with the seeds 0 and 2**64 - 1.
VECTORS = {
    0: (0xEF46DB3751D8E999, 0x298F4C84B24F5380),
    1: (0xE934A84ADB052768, 0x8BA3328805E37C90),
    3: (0xE5C7BB4533BC65DD, 0x2766DA80AF982D5D),
    4: (0xFFCED8604453CC1E, 0x50EE1D0D77C6CA04),
    7: (0x14CC643F630C72D2, 0x53899EA28B7375FC),
    8: (0x884A173614B81B8D, 0x367A57C649C7A5AC),
    12: (0x424AF23F1F08DCA5, 0x51FC0CE6A4DB3652),
    31: (0xC346D2B59B4D8EE1, 0x208E0384FFFFDB7A),
    32: (0xCBF59C5116FF32B4, 0x35220DFDB7D4D7C9),
    33: (0xC535D1ACAFB8EAD, 0x5677D5193D356C20),
    63: (0xE26AA9E2A95F8E4F, 0xC57C35BC58C8FE4A),
    64: (0xF7C67301DB6713F0, 0x79E8B8230306E25C),
    100: (0x6AC1E58032166597, 0x9A991A091C9F6D7),
    500: (0xEAA8F3CF896111E9, 0xFD93759881F8979E),
}


@pytest.mark.parametrize("size", VECTORS)
def test_bytes_hash_as_by_the_reference_library(size: int) -> None:
    assert (hash64(DATA[:size], 0), hash64(DATA[:size], 2**64 - 1)) == VECTORS[size]


def test_texts_and_numbers_are_their_bytes() -> None:
    assert hash64("caf\u00e9", 3) == hash64("caf\u00e9".encode(), 3)
    assert hash64(DATA[0], 0) == hash64(bytes(8), 0)
    assert hash64(-2, 7) == hash64(2**64 - 2, 7) == hash64(b"\xfe" + b"\xff" * 7, 7)
