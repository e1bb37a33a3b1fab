# SPDX-License-Identifier: Apache-2.0
"""What a chain file says about places, and what is said when it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from transect.base.render import render_text
from transect.rpc.chain.arrangement import Processor
from transect.rpc.chain.constraints import pieces, written
from transect.rpc.chain.file import read_chain
from transect.rpc.chain.model import ChainFile

CHAIN = """\
from transect.examples.rpc.acl import Acl
from transect.examples.rpc.header_routing import HeaderRouting
from transect.examples.rpc.metrics import Metrics
from transect.examples.rpc.retry_budget import RetryBudget
from transect.rpc import Chain

chain = Chain(
    service="shop.Shop",
    upstream="127.0.0.1:50051",
    elements=[{elements}],
    {words}
)
"""


def read(folder: Path, elements: str, words: str) -> tuple[ChainFile | None, str]:
    path = folder / "shop.py"
    path.write_text(CHAIN.format(elements=elements, words=words))
    found = read_chain(path)
    return found.chain, render_text(found.diagnostics, found.sources)


def places(folder: Path, elements: str, words: str) -> list[list[str]]:
    """Where each element can stand."""
    chain, said = read(folder, elements, words)
    assert chain is not None, said
    return [[at.value for at in piece.allowed] for piece in pieces(chain.elements, chain.wishes)]


BOTH = 'libraries=["client", "server"]'


def test_words_narrow_where_elements_stand(tmp_path: Path) -> None:
    words = f'{BOTH}, place={{"Metrics": "client", "Metrics.2": ["client proxy", "server"]}}, guards=["Acl"]'
    assert places(tmp_path, "Metrics(), Metrics(), Acl()", words) == [
        ["client library", "client proxy"],
        ["client proxy", "server proxy", "server library"],
        ["server proxy", "server library"],
    ]


def test_carriers_narrow_it_too(tmp_path: Path) -> None:
    assert places(tmp_path, "RetryBudget(), HeaderRouting(), Metrics()", 'libraries=["client"]') == [
        ["client library"],
        ["server proxy"],
        ["client library", "client proxy", "server proxy"],
    ]


def test_who_is_trusted_can_be_said(tmp_path: Path) -> None:
    words = 'guards=["Acl"], trusted=["client proxy", "server"]'
    assert places(tmp_path, "Acl()", words) == [["client proxy", "server proxy"]]


def test_as_written_is_at_the_server_in_proxies_unless_something_else_is_said(tmp_path: Path) -> None:
    chain, _ = read(tmp_path, "RetryBudget(), Metrics(), Acl()", f'{BOTH}, place={{"Metrics": "client"}}')
    assert chain is not None
    assert written(pieces(chain.elements, chain.wishes)) == (
        Processor.CLIENT_LIBRARY,
        Processor.CLIENT_PROXY,
        Processor.SERVER_PROXY,
    )


def test_a_guard_at_the_client_names_both_words(tmp_path: Path) -> None:
    chain, said = read(tmp_path, "Acl()", 'place={"Acl": "client"}, guards=["Acl"]')
    assert chain is None
    assert "error[R034]: `Acl` can stand nowhere" in said
    assert "`place` says client library or client proxy" in said
    assert "only the server proxy or server library cannot be passed by" in said
    assert said.count('place={"Acl": "client"}, guards=["Acl"]') == 1  # both marked on that line


def test_a_place_behind_another_names_both_words(tmp_path: Path) -> None:
    words = f'{BOTH}, place={{\n        "Metrics": "server library",\n        "Acl": "server proxy",\n    }}'
    _, said = read(tmp_path, "Metrics(), Acl()", words)
    assert "error[R034]: `Acl` is written behind `Metrics`, and cannot stand behind it" in said
    assert '12 |         "Metrics": "server library",' in said
    assert '13 |         "Acl": "server proxy",' in said


def test_an_order_against_the_list_names_both(tmp_path: Path) -> None:
    _, said = read(tmp_path, "Metrics(), Acl()", 'order=[("Acl", "Metrics")]')
    assert "error[R034]: `Acl` is to be before `Metrics`, and is written behind it" in said
    assert "elements=[Metrics(), Acl()]" in said


def test_a_library_that_is_not_there_is_named(tmp_path: Path) -> None:
    _, said = read(tmp_path, "RetryBudget()", "")
    assert said == "no problems found" or "R034" not in said  # without a word about places nothing is asked
    _, said = read(tmp_path, "RetryBudget()", 'libraries=["server"]')
    assert "error[R034]: `RetryBudget` can stand nowhere" in said
    assert "the client's program carries no elements" in said
    _, said = read(tmp_path, "Metrics()", 'place={"Metrics": ["server library"]}')
    assert 'help: say which program carries elements: `libraries=["server"]`' in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ('place={"Acll": "client"}', "the chain has no element `Acll`"),
        ('place={"Acl": "cleint"}', "there is no place `cleint`"),
        ('place=["Acl"]', "`place` says where elements stand"),
        ('order=["Acl"]', "`order` is a list of two names each"),
        ('order=[("Acl", "Acl")]', "`order` names Acl twice"),
        ('required=["client library"]', "`required` is for proxies"),
        ('libraries="client"', "`libraries` is a list"),
        ('proxies=["lua"]', "`proxies` does not have `lua`"),
    ],
)
def test_what_is_not_understood_is_told(tmp_path: Path, words: str, told: str) -> None:
    chain, said = read(tmp_path, "Acl()", words)
    assert chain is None
    assert f"error[R030]: {told}" in said
