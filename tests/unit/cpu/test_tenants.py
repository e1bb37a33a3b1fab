# SPDX-License-Identifier: Apache-2.0
"""Tenants that an operator names get lanes of a scheduler, keep them, and give them back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.cpu.policies import example, scheduler
from transect.base.tenant import number_of
from transect.base.weights import NoWeights
from transect.cpu.run import CpuHost, run
from transect.cpu.tenants import NUMBERS, SEATS, WEIGHTS, Shares, arranged, takes
from transect.cpu.trial import Invalid

NOTHING = {NUMBERS: [0] * 64, WEIGHTS: [0] * 64}
ALICE, BOB, CAROL = map(number_of, ("alice", "bob", "carol"))


def weights_of(words: dict[str, list[int]]) -> dict[int, int]:
    """By tenant's number; 0 is nobody."""
    return {n: words[WEIGHTS][lane] for lane, n in enumerate(words[NUMBERS]) if n or not lane}


def test_each_tenant_has_a_lane_and_nobody_the_first_one() -> None:
    words = arranged(NOTHING, {"alice": 400, "bob": 50})
    assert weights_of(words) == {0: 100, ALICE: 400, BOB: 50}
    assert words[NUMBERS][0] == 0 and words[NUMBERS][63] == 0
    assert weights_of(arranged(NOTHING, {"anonymous": 7})) == {0: 7}


def test_who_has_a_lane_keeps_it_and_a_lane_that_is_given_back_keeps_its_weight() -> None:
    first = arranged(NOTHING, {"alice": 400, "bob": 50})
    lanes = {n: first[NUMBERS].index(n) for n in (ALICE, BOB)}
    second = arranged(first, {"bob": 200})
    assert weights_of(second) == {0: 100, BOB: 200}
    assert second[NUMBERS].index(BOB) == lanes[BOB]
    assert second[WEIGHTS][lanes[ALICE]] == 400, "threads may wait there"
    third = arranged(second, {"bob": 200, "carol": 300})
    assert third[NUMBERS][lanes[ALICE]] == CAROL and third[WEIGHTS][lanes[ALICE]] == 300


def test_no_weight_is_so_small_that_the_kernel_loses_its_patience() -> None:
    assert weights_of(arranged(NOTHING, {"alice": 1_000_000, "bob": 1})) == {
        0: 10_002,
        ALICE: 1_000_000,
        BOB: 10_002,
    }


def test_who_has_lanes_for_tenants() -> None:
    assert takes(example("by_tenant"))
    assert not takes(example("weighted_fair"))
    arrays = "    tenants: Array[int] = array({0})\n    weights: Array[int] = array({0})\n"
    assert takes(scheduler(arrays.format(64))) and not takes(scheduler(arrays.format(32)))


class State:
    """Of a scheduler."""

    def __init__(self) -> None:
        self.fields = {name: list(words) for name, words in NOTHING.items()}
        self.order: list[str] = []

    def status(self) -> dict[str, dict[str, list[int]]]:
        return {"fields": self.fields}

    def set(self, field: str, words: Sequence[int], /) -> list[int]:
        self.order.append(field)
        self.fields[field] = list(words)
        return []


def test_a_file_is_followed_and_a_damaged_one_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text("[tenants]\nalice = 400\n")
    state, shares = State(), Shares(path)
    shares.give(state)
    assert weights_of(state.fields) == {0: 100, ALICE: 400}
    assert state.order == [WEIGHTS, NUMBERS], "who comes into a lane finds its weight there"
    with shares.followed(lambda: shares.give(state)):
        path.write_text("[tenants")
        time.sleep(1.5)
        assert weights_of(state.fields) == {0: 100, ALICE: 400}
        path.write_text("[tenants]\nalice = 200\nbob = 300\n")
        end = time.monotonic() + 20
        while weights_of(state.fields) != {0: 100, ALICE: 200, BOB: 300}:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_weights_that_cannot_be_given_are_given_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text("[tenants]\nalice = 400\n")

    class Busy(State):
        """It refuses what comes while it is busy."""

        refuses = 0

        def set(self, field: str, words: Sequence[int], /) -> list[int]:
            if self.refuses:
                self.refuses -= 1
                raise OSError("busy")
            return super().set(field, words)

    state, shares = Busy(), Shares(path)
    shares.give(state)
    state.refuses = 2
    with shares.followed(lambda: shares.give(state)):
        path.write_text("[tenants]\nalice = 700\n")
        end = time.monotonic() + 20
        while weights_of(state.fields).get(ALICE) != 700:
            assert time.monotonic() < end
            time.sleep(0.05)
    assert state.refuses == 0 and caplog.text.count("busy") == 1, "it is said once"


def test_a_version_that_takes_over_has_the_weights(tmp_path: Path) -> None:
    """One with lanes for tenants comes after one without."""
    path, before, after = tmp_path / "tenants.toml", example("fifo"), example("by_tenant")
    path.write_text("[tenants]\nalice = 400\n")

    class Where(State):
        def upgrade(self, *_: object, **__: object) -> dict[str, str]:
            return {}

    state = Where()
    host = CpuHost(before, {}, state, Shares(path))  # type: ignore[arg-type]
    host.share()
    assert state.fields == NOTHING, "it has no lanes"
    host.upgrade(Path(after.path), automatic_return=False)
    assert weights_of(state.fields) == {0: 100, ALICE: 400}


def test_there_are_as_many_tenants_as_lanes_at_most(tmp_path: Path) -> None:
    path = tmp_path / "tenants.toml"
    named = {f"t{n}": 100 for n in SEATS}
    path.write_text("[tenants]\n" + "".join(f"{name} = 100\n" for name in named))
    state = State()
    Shares(path).give(state)
    assert weights_of(state.fields) == {0: 100, **{number_of(name): 100 for name in named}}
    path.write_text(path.read_text() + "more = 100\n")
    with pytest.raises(NoWeights, match="names 63 tenants, and a scheduler has lanes for 62"):
        Shares(path)


@pytest.mark.parametrize(
    ("policy", "text", "why"),
    [
        ("weighted_fair", "[tenants]", "WeightedFair has no lanes for tenants"),
        ("by_tenant", "[tenants]\nalice = 0", "gives `alice` no weight"),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(
    policy: str, text: str, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text(text)

    def nowhere() -> None:
        raise AssertionError("nothing is put in force")

    with pytest.raises(Invalid, match=why):
        run(Path(example(policy).path), nowhere, tenants=path)  # type: ignore[arg-type]
