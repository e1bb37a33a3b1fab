# SPDX-License-Identifier: Apache-2.0
"""How the reader by verbs waits: before a card that is none, on a machine where milliseconds pass at each step."""

from __future__ import annotations

import ctypes as ct
from importlib.resources import files
from pathlib import Path

import pytest

from transect.emit.c.toolchain import shared_object

pytestmark = pytest.mark.needs("verbs")

ADDRESS_CHANGED, UNREACHABLE, DISCONNECTED, NOTHING = 14, 7, 10, -1  # rdma_cma.h


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> ct.CDLL:
    here = Path(__file__).with_name("fake_card.c").read_bytes()
    reader = (files("transect.memory") / "runtime" / "verbs.c").read_bytes()
    path = shared_object(
        "fake_card",
        {"fake_card.c": here, "verbs.c": reader},
        folder=tmp_path_factory.mktemp("card"),
        flags=("-Wall", "-Wextra"),
        libraries=("rdmacm", "ibverbs"),
        units=["fake_card.c"],
    )
    found = ct.CDLL(str(path))
    found.read_once.restype, found.read_once.argtypes = ct.c_char_p, [ct.c_int]
    return found


def test_an_answer_is_seen_however_late_the_reader_looks(card: ct.CDLL) -> None:
    assert card.read_once(NOTHING) == b""


@pytest.mark.parametrize("event", [UNREACHABLE, ADDRESS_CHANGED])
def test_a_neighbour_that_changed_does_not_end_a_connection_that_works(card: ct.CDLL, event: int) -> None:
    assert card.read_once(event) == b""


def test_a_target_that_ends_the_connection_ends_it(card: ct.CDLL) -> None:
    assert card.read_once(DISCONNECTED).startswith(b"a READ: the connection has ended (disconnected")
