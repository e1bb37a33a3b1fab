# SPDX-License-Identifier: Apache-2.0
"""Words about whose a request is, in C: the same as in Python, and heard once by however many threads."""

from __future__ import annotations

import ctypes as ct
import hashlib
import hmac
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rpc.native_driver import TRAPS
from transect.emit.c.toolchain import RUNTIME as C_RUNTIME
from transect.identity import Caller, Keys, Verifier
from transect.identity.keys import LIFE_S
from transect.identity.verifier import SKEW_S
from transect.identity.words import Word, parsed, signed_by
from transect.rpc.native.build import RPC_RUNTIME

pytestmark = pytest.mark.needs("gcc")

KEY = b"\xab" * 32
UNIT = """
#include <stdlib.h>
#include "heard.h"
#include "word.h"
static struct ts_hmac_key key_of(const uint8_t *bytes) { struct ts_hmac_key key; ts_hmac_key(&key, bytes); return key; }
void sha256(const void *data, size_t size, size_t first, uint8_t *digest) {
    struct ts_sha256 h;
    ts_sha256_begin(&h);
    ts_sha256_add(&h, data, first);
    ts_sha256_add(&h, (const char *)data + first, size - first);
    ts_sha256_end(&h, digest);
}
void hmac(const uint8_t *bytes, const void *data, size_t size, uint8_t *digest) {
    struct ts_hmac_key key = key_of(bytes);
    ts_hmac(&key, data, size, digest);
}
/* 0 no word, 1 not signed, 2 signed */
int judged(const uint8_t *bytes, const char *text, size_t size, struct ts_word *word) {
    struct ts_hmac_key key = key_of(bytes);
    char *exact = malloc(size); /* a byte read beyond it is seen by the sanitizer */
    size_t said;
    memcpy(exact, text, size);
    int found = !ts_word_read(word, exact, size, &said) ? 0 : 1 + ts_word_signed_by(&key, exact, size, said);
    free(exact);
    return found;
}
size_t written(const uint8_t *bytes, const struct ts_word *word, char *to) {
    struct ts_hmac_key key = key_of(bytes);
    return ts_word_write(to, word, &key);
}
struct ts_heard *heard_new(void) { return calloc(1, sizeof(struct ts_heard)); }
void heard_free(struct ts_heard *heard) { free(heard); }
int heard(struct ts_heard *heard, uint64_t nonce, uint64_t ends) { return ts_heard(heard, nonce, ends); }
void fill(struct ts_heard *heard, uint64_t from, uint64_t many, uint64_t ends, uint64_t counts[4]) {
    for (uint64_t n = from; n < from + many; n++) counts[ts_heard(heard, n, ends)]++;
}
"""
NEW, AGAIN, FULL, DEAD = range(4)
MOST = (1 << 19) // 8 * 7


class CWord(ct.Structure):
    _fields_ = (
        ("tenant", ct.c_char * 64),
        ("tenant_size", ct.c_size_t),
        ("ends", ct.c_uint64),
        ("deadline", ct.c_uint64),
        ("nonce", ct.c_uint64),
    )

    def word(self) -> Word:
        tenant = bytes(self.tenant)[: self.tenant_size].decode()
        return Word(tenant, self.ends, self.deadline, f"{self.nonce:016x}")


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("words")
    (folder / "unit.c").write_text(UNIT)
    flags = ["-std=gnu11", "-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Wconversion", "-Werror", *TRAPS]
    include = [f"-I{RPC_RUNTIME}", f"-I{C_RUNTIME}"]
    subprocess.run(["gcc", *flags, *include, "unit.c", "-o", "unit.so"], cwd=folder, check=True)
    library: Any = ct.CDLL(str(folder / "unit.so"))
    library.heard_new.restype = ct.c_void_p
    library.written.restype = ct.c_size_t
    library.heard.argtypes = (ct.c_void_p, ct.c_uint64, ct.c_uint64)
    library.heard_free.argtypes = (ct.c_void_p,)
    library.fill.argtypes = (ct.c_void_p, ct.c_uint64, ct.c_uint64, ct.c_uint64, ct.c_void_p)
    library.sha256.argtypes = (ct.c_char_p, ct.c_size_t, ct.c_size_t, ct.c_char_p)
    library.hmac.argtypes = (ct.c_char_p, ct.c_char_p, ct.c_size_t, ct.c_char_p)
    library.judged.argtypes = (ct.c_char_p, ct.c_char_p, ct.c_size_t, ct.c_void_p)
    return library


@pytest.fixture
def heard(native: Any) -> Any:
    memory = native.heard_new()
    yield lambda nonce, ends: native.heard(memory, nonce, ends)
    native.heard_free(memory)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    path = tmp_path / "identity.key"
    path.touch(0o600)
    path.write_text(KEY.hex())
    return Keys(path)


def judged(native: Any, text: str) -> tuple[int, Word | None]:
    word = CWord()
    data = text.encode()
    how = native.judged(KEY, data, len(data), ct.byref(word))
    return how, word.word() if how else None


def test_the_hash_is_the_one_of_the_standard_for_every_size(native: Any) -> None:
    draw = random.Random(1)
    for size in (*range(200), 1000, 4096, 100_003):
        data, digest = draw.randbytes(size), ct.create_string_buffer(32)
        native.sha256(data, size, draw.randint(0, size), digest)
        assert digest.raw == hashlib.sha256(data).digest(), size


def test_signatures_are_those_of_the_standard(native: Any) -> None:
    draw = random.Random(2)
    for size in range(300):
        key, data, digest = draw.randbytes(32), draw.randbytes(size), ct.create_string_buffer(32)
        native.hmac(key, data, size, digest)
        assert digest.raw == hmac.digest(key, data, "sha256"), size


def test_what_python_vouches_for_is_read_in_c(native: Any, keys: Keys) -> None:
    for tenant, deadline in (
        ("alice", None),
        ("a", 0.0),
        ("b@shop.example-1_" + "x" * 47, time.monotonic() + 1),
    ):
        text = keys.vouch(tenant, deadline)
        read = parsed(text)
        assert read is not None
        assert judged(native, text) == (2, read[0])


def test_what_c_vouches_for_python_believes(native: Any, keys: Keys) -> None:
    verifier = Verifier(keys)
    now = int(time.time() * 1000)
    for tenant in (b"a", b"bob", b"x" * 64):
        word = CWord(tenant, len(tenant), now + 30_000, 0, random.getrandbits(64))
        text = ct.create_string_buffer(256)
        size = native.written(KEY, ct.byref(word), text)
        assert text.raw[:size].decode() == word.word().signed(KEY)
        assert verifier.of(text.raw[:size].decode()) == Caller(tenant.decode())


def test_the_longest_word_has_room(native: Any) -> None:
    word, text = (
        CWord(b"x" * 64, 64, 10**16 - 1, 10**16 - 1, 2**64 - 1),
        ct.create_string_buffer(b"\0" * 512, 512),
    )
    size = native.written(KEY, ct.byref(word), text)
    assert size <= 256
    assert judged(native, text.raw[:size].decode()) == (2, word.word())


def mutated(draw: random.Random, good: str) -> str:
    at = draw.randrange(len(good))
    fields = good.split(";")
    match draw.randrange(6):
        case 0:
            return good[:at] + draw.choice("0aA;.@- \0é") + good[at + 1 :]
        case 1:
            return good[:at]
        case 2:
            return good[:at] + draw.choice(";0a") + good[at:]
        case 3:
            fields[draw.randrange(len(fields))] = draw.choice(
                ("", "0", "00", "01", "-", "a" * 65, "9" * 17, "1")
            )
            return ";".join(fields)
        case 4:
            del fields[draw.randrange(len(fields))]
            return ";".join(fields)
        case _:
            return good + draw.choice((";", "0", "," + good, " ", "x" * 200))


def test_of_damaged_words_c_and_python_say_the_same(native: Any, keys: Keys) -> None:
    draw, seen = random.Random(3), Counter[int]()
    for _ in range(20_000):
        text = mutated(draw, keys.vouch(draw.choice(("a", "alice", "x" * 64))))
        read = parsed(text)
        how = 0 if read is None else 1 + signed_by(KEY, read[1], read[2])
        assert judged(native, text) == (how, read and read[0]), text
        seen[how] += 1
    assert min(seen[0], seen[1]) > 1000, seen


def test_a_word_is_new_once(heard: Callable[[int, int], int]) -> None:
    for nonce in (0, 1 << 63, 7, 2**64 - 1):
        assert [heard(nonce, 50_000), heard(nonce, 50_000)] == [NEW, AGAIN], nonce


def test_what_lives_is_remembered_and_what_is_dead_makes_room(heard: Callable[[int, int], int]) -> None:
    """A clock that goes on by a second at a time: each word comes again for as long as it lives."""
    life = int((LIFE_S + SKEW_S) * 1000)
    words: list[tuple[int, int]] = []
    for now in range(0, 300_000, 1000):
        words = [(nonce, ends) for nonce, ends in words if ends > now]
        assert {heard(nonce, ends) for nonce, ends in words} <= {AGAIN}
        for ends in (now + 1, now + life, now + life // 2):
            words.append((random.getrandbits(64), ends))
            assert heard(*words[-1]) == NEW


def test_a_thread_that_comes_with_a_word_of_old_does_not_believe_it(heard: Callable[[int, int], int]) -> None:
    assert heard(1, 12_000) == NEW
    assert heard(2, 12_000 + 48_000) == NEW, "the same table, of the next words"
    assert heard(1, 12_000) == DEAD


def test_a_clock_that_is_put_back_far_does_not_silence_everybody(heard: Callable[[int, int], int]) -> None:
    assert heard(1, 10**12) == NEW
    assert heard(1, 10**11) == NEW
    assert heard(1, 10**11) == AGAIN


def test_when_it_is_full_nobody_is_believed(native: Any) -> None:
    memory, counts = native.heard_new(), (ct.c_uint64 * 4)()
    native.fill(memory, 1, MOST + 1000, 1000, counts)
    assert list(counts) == [MOST, 0, 1000, 0]
    assert native.heard(memory, 5, 1000) == FULL, "neither is who may have come before"
    assert native.heard(memory, 5, 1000 + 12_000) == NEW, "others have room"
    native.heard_free(memory)


def test_of_threads_that_hear_the_same_words_one_believes_each(native: Any) -> None:
    """Tables are used again and again meanwhile."""
    memory, rounds, many = native.heard_new(), 24, 4000
    totals: list[list[int]] = []
    together = threading.Barrier(4)

    def hear() -> None:
        counts = (ct.c_uint64 * 4)()
        for turn in range(rounds):
            together.wait()
            native.fill(memory, 1, many, turn * 12_000, counts)
        totals.append(list(counts))

    threads = [threading.Thread(target=hear) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = [sum(column) for column in zip(*totals, strict=True)]
    assert said == [rounds * many, 3 * rounds * many, 0, 0]
    native.heard_free(memory)
