# SPDX-License-Identifier: Apache-2.0
"""The functions that rpc gives policies: published test vectors, and C against Python on random and damaged inputs."""

from __future__ import annotations

import base64
import ctypes as ct
import random
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.rpc.native_driver import TRAPS, Slice, slice_of
from transect.core.stratum_functions import provided
from transect.emit.c.toolchain import RUNTIME as C_RUNTIME
from transect.rpc import functions
from transect.rpc.functions import chacha, lz4, meanings
from transect.rpc.native.build import RPC_RUNTIME

KEY = bytes(range(0x80, 0xA0))
# draft-irtf-cfrg-xchacha-03 has this plaintext, key and nonce; ciphertext as published there (A.3.1).
PLAIN = (
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be"
    b" it."
)
NONCE = bytes(range(0x40, 0x58))
CIPHERTEXT = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52e"  # noqa: E501
# RFC 8439, section 2.5.2.
POLY_KEY = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")


def test_the_cipher_is_the_published_one() -> None:
    sealed = chacha.seal(PLAIN, KEY, NONCE)
    assert sealed[:-16].hex() == CIPHERTEXT
    assert chacha.unseal(sealed, KEY, NONCE) == PLAIN


def test_a_block_of_the_cipher_is_that_of_the_rfc() -> None:
    """RFC 8439, section 2.3.2."""
    block = chacha._block(bytes(range(32)), bytes.fromhex("000000090000004a00000000"), 1)
    assert block.hex().startswith("10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c0")


def test_blocks_written_by_others_are_read() -> None:
    """An LZ4 block of "aaaaaaaaaaaaaaaaaaaa" by the reference tool: a literal, a match of 14, five literals."""
    assert lz4.expand(bytes.fromhex("14000000" + "1a610100" + "506161616161"), 20) == b"a" * 20


def test_a_function_is_found_by_its_full_name() -> None:
    assert provided("rpc.seal") is functions.seal
    for name in ("rpc.nothing", "nothing.seal", "rpc.Headers.get", "now"):
        assert provided(name) is None


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("functions")
    (folder / "unit.c").write_text(UNIT)
    flags = ["-std=gnu11", "-O1", "-fPIC", "-shared", "-Wall", "-Wextra", "-Wconversion", "-Werror", *TRAPS]
    include = [f"-I{RPC_RUNTIME}", f"-I{C_RUNTIME}"]
    subprocess.run(
        ["gcc", *flags, "-Wno-unused-function", *include, "unit.c", "-o", "unit.so"], cwd=folder, check=True
    )
    return ct.CDLL(str(folder / "unit.so"))


UNIT = """
#include "functions.h"
static struct ts_call call;
static ts_slice out;
void begin(void) { ts_call_begin(&call, NULL, NULL); }
void end(void) { ts_call_end(&call); }
ts_slice *result(void) { return &out; }
int seal(ts_slice p, ts_slice k, int64_t a, int64_t b) { return ts_seal(&call, p, k, a, b, &out); }
int unseal(ts_slice s, ts_slice k) { return ts_unseal(&call, s, k, &out); }
int seal_text(ts_slice p, ts_slice k, int64_t a, int64_t b) { return ts_seal_text(&call, p, k, a, b, &out); }
int unseal_text(ts_slice s, ts_slice k) { return ts_unseal_text(&call, s, k, &out); }
int compress(ts_slice p) { out = ts_compress(&call, p); return 1; }
int expand(ts_slice p, int64_t most) { return ts_expand(&call, p, most, &out); }
int compress_text(ts_slice p) { out = ts_compress_text(&call, p); return 1; }
int expand_text(ts_slice p, int64_t most) { return ts_expand_text(&call, p, most, &out); }
int digest(ts_slice p) { out = ts_digest(&call, p); return 1; }
"""


def in_c(native: Any, name: str, *args: bytes | int) -> bytes | None:
    native.begin()
    native.result.restype = ct.POINTER(Slice)
    given = [slice_of(a) if isinstance(a, bytes) else (ct.c_int64(a), None) for a in args]
    found = getattr(native, name)(*(g[0] for g in given))
    answer: bytes | None = native.result()[0].bytes if found else None
    native.end()
    return answer


def both(native: Any, name: str, *args: bytes | int) -> bytes | None:
    """What both say, who must agree."""
    python: Callable[..., Any] = getattr(meanings, name)
    if name.endswith("_text"):
        found = python(args[0].decode(), *args[1:])  # type: ignore[union-attr]
        expected = None if found is None else found.encode()
    else:
        expected = python(*args)
    assert in_c(native, name, *args) == expected, (name, args)
    return expected


def sizes(rng: random.Random) -> bytes:
    """Bytes of a random size and some repetition."""
    letters = rng.choice((2, 4, 256))
    data = bytes(rng.randrange(letters) for _ in range(rng.choice((0, 1, 5, 12, 13, 63, 64, 65, 300))))
    return data * rng.choice((1, 1, 3)) + bytes(rng.choice((0, 0, 300)))


@pytest.mark.needs("gcc")
def test_sealing_is_the_same_in_c(native: Any) -> None:
    rng = random.Random(1)
    for _ in range(150):
        plain, key = sizes(rng), rng.randbytes(32)
        sealed = both(native, "seal", plain, key, rng.getrandbits(63), -rng.getrandbits(63))
        assert sealed is not None and both(native, "unseal", sealed, key) == plain
        at = rng.randrange(len(sealed))
        damaged = sealed[:at] + bytes((sealed[at] ^ 1 << rng.randrange(8),)) + sealed[at + 1 :]
        assert both(native, "unseal", damaged, key) is None
        assert both(native, "unseal", sealed[:at], key) is None
    assert both(native, "seal", b"x", KEY[:31], 1, 2) is None
    assert both(native, "unseal", bytes(40), b"") is None


@pytest.mark.needs("gcc")
def test_extreme_numbers_of_the_authenticator_are_the_same_in_c(native: Any) -> None:
    for block in (bytes(16), b"\xff" * 16, b"\xff" * 64, b"\xfb" + b"\xff" * 15, b"\xff" * 15):
        for key in (bytes(32), b"\xff" * 32, POLY_KEY):
            for n in range(12):
                both(native, "seal", block * n, key, n, n)


@pytest.mark.needs("gcc")
def test_compression_is_the_same_in_c_also_of_damaged_blocks(native: Any) -> None:
    rng = random.Random(2)
    for _ in range(300):
        plain = sizes(rng)
        packed = both(native, "compress", plain)
        assert packed is not None and len(packed) <= len(plain) + len(plain) // 255 + 24
        assert both(native, "expand", packed, len(plain)) == plain
        assert both(native, "expand", packed, len(plain) - 1) is None
        for _ in range(5):
            at = rng.randrange(len(packed))
            damaged = packed[:at] + bytes((rng.randrange(256),)) + packed[at + rng.randrange(2) :]
            both(native, "expand", damaged, 100_000)
    assert both(native, "expand", b"\xff\xff\xff\xff\x0f", 2**40) is None, "claims 4 GiB"
    assert both(native, "expand", b"", 9) is None


@pytest.mark.needs("gcc")
def test_texts_are_the_same_in_c_also_when_they_are_none(native: Any) -> None:
    rng = random.Random(3)
    for _ in range(150):
        plain = "".join(rng.choice("aä€𝄞") for _ in range(rng.randrange(40))).encode()
        sealed, packed = both(native, "seal_text", plain, KEY, 5, 6), both(native, "compress_text", plain)
        assert sealed is not None and packed is not None
        assert both(native, "unseal_text", sealed, KEY) == plain
        assert both(native, "expand_text", packed, 1000) == plain
        for text in (sealed, packed):
            at = rng.randrange(len(text))
            other = text[:at] + rng.choice((b"A", b"=", b"-", b" ", "ü".encode(), b"")) + text[at + 1 :]
            both(native, "unseal_text", other, KEY)
            both(native, "expand_text", other, 1000)
    not_text = both(native, "seal", b"\xff", KEY, 1, 1)
    assert not_text is not None
    assert both(native, "unseal_text", base64.b64encode(not_text), KEY) is None
    for odd in (
        b"",
        b"=",
        b"==",
        b"====",
        b"A===",
        b"AA==",
        b"AB==",
        b"AAA=",
        b"AAB=",
        b"AA=A",
        b"A",
        b"AAAA\n",
    ):
        both(native, "unseal_text", odd, KEY)
        both(native, "expand_text", odd, 9)


@pytest.mark.needs("gcc")
def test_a_digest_is_the_one_of_the_standard_in_c_too(native: Any) -> None:
    """FIPS 180-4's example, and texts around the size of a block."""
    assert meanings.digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    for text in ("", "abc", "ü" * 31, *("k" * size for size in range(54, 66)), "𝄞" * 1000):
        assert in_c(native, "digest", text.encode()) == meanings.digest(text).encode(), text
