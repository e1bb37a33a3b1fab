# SPDX-License-Identifier: Apache-2.0
"""A word about whose a request is: who says it is believed once, and nobody else is."""

from __future__ import annotations

import hashlib
import hmac
import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from transect.identity import ANONYMOUS, Caller, Keys, NoKeys, Verifier, current, working_for
from transect.identity.keys import LIFE_S
from transect.identity.verifier import SKEW_S


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return keys_in(tmp_path / "identity.key", "ab" * 32)


def keys_in(path: Path, *keys: str) -> Path:
    path.touch(0o600)
    path.write_text("".join(f"{key}\n" for key in keys))
    return path


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def test_who_is_vouched_for_is_believed_once(file: Path) -> None:
    keys = Keys(file)
    verifier, word = Verifier(keys), keys.vouch("alice@shop")
    assert verifier.of(word) == Caller("alice@shop", None)
    assert verifier.of(word) is None, "it has been used"
    assert verifier.of(keys.vouch("alice@shop")) == Caller("alice@shop", None)
    assert verifier.status() == {
        "believed": 2, "malformed": 0, "forged": 0, "expired": 0, "early": 0, "replayed": 1, "full": 0,
    }  # fmt: skip


def test_the_deadline_comes_along(file: Path) -> None:
    keys, end = Keys(file), time.monotonic() + 2.0
    caller = Verifier(keys).of(keys.vouch("bob", end))
    assert caller is not None and caller.deadline is not None
    assert abs(caller.deadline - end) < 0.05
    past = Verifier(keys).of(keys.vouch("bob", time.monotonic() - 1))
    assert past is not None and past.deadline is not None and past.deadline < time.monotonic()


@pytest.mark.parametrize("deadline", [float("inf"), 1e300, -1e300, float("-inf")])
def test_a_deadline_beyond_all_times_is_none_or_long_past(file: Path, deadline: float) -> None:
    keys = Keys(file)
    caller = Verifier(keys).of(keys.vouch("bob", deadline))
    assert caller is not None
    if deadline == float("inf"):
        assert caller.deadline is None
    else:
        assert caller.deadline is not None
        assert (caller.deadline > time.monotonic() + 1e9) == (deadline > 0)
        assert (caller.deadline < time.monotonic()) == (deadline < 0)


def test_a_deadline_that_is_no_number_is_refused(file: Path) -> None:
    with pytest.raises(ValueError, match="no number"):
        Keys(file).vouch("bob", float("nan"))


def test_the_signature_is_the_one_of_the_standard(file: Path) -> None:
    said, _, signature = Keys(file).vouch("alice").rpartition(";")
    assert signature == hmac.new(b"\xab" * 32, said.encode(), hashlib.sha256).hexdigest()


def test_a_word_dies_with_its_life_and_none_lives_longer(file: Path) -> None:
    keys, clock = Keys(file), Clock()
    verifier = Verifier(keys, clock)
    clock.ahead = LIFE_S + 1
    assert verifier.of(keys.vouch("alice")) is None
    clock.ahead = -SKEW_S - 1  # ours goes so far behind that we would not remember it for long enough
    assert verifier.of(keys.vouch("alice")) is None
    clock.ahead = 1 - SKEW_S
    assert verifier.of(keys.vouch("alice")) == Caller("alice")
    counts = verifier.status()
    assert (counts["expired"], counts["early"], counts["believed"]) == (1, 1, 1)


def test_no_word_is_forgotten_while_it_lives_and_all_are_after(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later, now = [0.0], time.time
    monkeypatch.setattr(time, "time", lambda: now() + later[0])  # for who vouches, too
    keys = Keys(file)
    verifier = Verifier(keys, time.time, kept=4)
    words = [keys.vouch("alice") for _ in range(5)]
    assert [verifier.of(word) is not None for word in words] == [True] * 4 + [False]
    later[0] = LIFE_S - 1
    assert [verifier.of(word) for word in (*words, keys.vouch("alice"))] == [None] * 6
    assert verifier.status()["full"] == 3
    later[0] = LIFE_S + 1
    assert verifier.of(keys.vouch("alice")) == Caller("alice"), "there is room again"


def test_a_key_is_changed_without_a_request_lost(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("transect.base.followed.LOOK_S", 0.0)
    sends, takes = Keys(file), keys_in(tmp_path / "other.key", "ab" * 32)
    verifier = Verifier(Keys(takes))
    for lines in (["ab" * 32, "cd" * 32], ["cd" * 32, "ab" * 32], ["cd" * 32]):
        keys_in(takes, *lines)
        assert verifier.of(sends.vouch("alice")) is not None, lines
        keys_in(file, *lines)
        assert verifier.of(sends.vouch("alice")) is not None, lines
    takes.write_text("no key")
    assert verifier.of(sends.vouch("alice")) is not None
    assert ["stays in force" in said for said in caplog.messages] == [True]


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("", 0o600, "holds no key"),
        ("# nothing\n", 0o600, "holds no key"),
        ("ab" * 31, 0o600, "no key of 64"),
        ("zz" * 32, 0o600, "no key of 64"),
        ("ab" * 32 + "\n" + "cd" * 33, 0o600, "no key of 64"),
        ("\n".join(["ab" * 32] * 9), 0o600, "more than 8"),
        ("ab" * 32, 0o644, "read or written by anybody"),
        ("ab" * 32, 0o602, "read or written by anybody"),
    ],
)
def test_a_file_without_keys_is_refused(tmp_path: Path, text: str, mode: int, why: str) -> None:
    path = tmp_path / "identity.key"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(NoKeys, match=why):
        Keys(path)


def test_a_pipe_in_its_place_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "identity.key")
    with pytest.raises(NoKeys, match="not a regular file"):
        Keys(tmp_path / "identity.key")


@pytest.mark.parametrize("name", ["", "a" * 65, "a;b", "a b", "é", "-a", "a\n", "spiffe://shop/alice"])
def test_who_has_no_name_is_not_vouched_for(file: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name of a tenant"):
        Keys(file).vouch(name)


def test_of_ten_thousand_forged_words_none_is_believed(file: Path, tmp_path: Path) -> None:
    """The claim `stack.forged`: forged, expired, replayed and cut words; the control is one that is good."""
    draw, keys = random.Random(14), Keys(file)
    stranger = Keys(keys_in(tmp_path / "stranger.key", "cd" * 32))
    verifier, clock = Verifier(keys), Clock()
    late = Verifier(keys, clock)
    clock.ahead = LIFE_S + 1
    taken: Counter[str] = Counter()
    for n in range(10_000):
        good = keys.vouch("bob")
        kind = (
            "stranger",
            "bit",
            "name",
            "cut",
            "longer",
            "case",
            "spaces",
            "expired",
            "replayed",
            "spliced",
        )[n % 10]
        match kind:
            case "stranger":
                word, who = stranger.vouch("alice"), verifier
            case "bit":
                at = draw.randrange(len(good))
                word, who = good[:at] + chr(ord(good[at]) ^ 1 << draw.randrange(7)) + good[at + 1 :], verifier
            case "name":
                word, who = good.replace("bob", "alice", 1), verifier
            case "cut":
                word, who = good[: draw.randrange(len(good))], verifier
            case "longer":
                fields = good.split(";")
                fields[draw.choice((2, 3))] = str(int(time.time() * 1000) + 10_000 + n)
                word, who = ";".join(fields), verifier
            case "case":
                said, _, signature = good.rpartition(";")
                word, who = f"{said};{signature.upper()}", verifier
                if signature.upper() == signature:
                    continue
            case "spaces":
                word, who = (
                    draw.choice((" {}", "{} ", "{};", "{},{}", "{}\0", "0{}", "{}é")).replace("{}", good),
                    verifier,
                )
            case "expired":
                word, who = good, late
            case "replayed":
                assert verifier.of(good) == Caller("bob")
                word, who = good, verifier
            case _:
                other = keys.vouch("carol")
                word, who = other.rpartition(";")[0] + ";" + good.rpartition(";")[2], verifier
        taken[kind] += who.of(word) is not None
    assert taken.total() == 0, taken
    assert verifier.of(keys.vouch("bob")) == Caller("bob")
    counts = {**verifier.status(), "expired": late.status()["expired"]}
    assert all(counts[why] > 100 for why in ("believed", "malformed", "forged", "expired", "replayed")), (
        counts
    )


@pytest.mark.parametrize("odd", ["{} ", "{}\t", " {}", "{}0", "{};"])
def test_what_is_no_word_is_counted_as_malformed_and_not_as_forged(file: Path, odd: str) -> None:
    keys = Keys(file)
    verifier = Verifier(keys)
    word = keys.vouch("bob")
    assert verifier.of(odd.format(word)) is None and verifier.of(word[:-1]) is None
    assert (verifier.status()["malformed"], verifier.status()["forged"]) == (2, 0)
    assert verifier.of(word) is not None


def test_for_whom_a_thread_works_ends_with_the_block() -> None:
    assert current() == Caller(ANONYMOUS)
    with working_for(Caller("alice")):
        assert current() == Caller("alice")
        with working_for(Caller("bob")):
            assert current() == Caller("bob")
        assert current() == Caller("alice")
    assert current() == Caller(ANONYMOUS)
