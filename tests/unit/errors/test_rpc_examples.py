# SPDX-License-Identifier: Apache-2.0
"""Pages about messages: bound to them, the bad example gives exactly the page's code, the good one none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.errors.test_examples import written
from transect.base.diagnostic import Diagnostics
from transect.base.render import render_text
from transect.core.frontend import compile_text
from transect.errors import codes
from transect.rpc.chain.binding import bind
from transect.rpc.chain.file import read_chain
from transect.rpc.messages.protos import from_files

PAGES = [code for code in codes() if written(code).examples("proto")]


def bound(code: str, mark: str, folder: Path) -> tuple[list[str], str]:
    """The codes that the page's example gives when it is bound to the page's messages, and how they are shown."""
    (proto,) = written(code).examples("proto")
    (example,) = written(code).examples(mark)
    path = folder / "shop.proto"
    path.write_text(proto)
    service = from_files([path]).service("shop.Shop")
    assert service
    compiled = compile_text(example, "example.py")
    assert not compiled.diagnostics.failed, render_text(compiled.diagnostics, compiled.sources)
    diagnostics = Diagnostics()
    bind(compiled.programs, service, diagnostics)
    return sorted({d.code for d in diagnostics}), render_text(diagnostics, compiled.sources)


@pytest.mark.needs("grpcio")
@pytest.mark.parametrize("code", PAGES)
def test_a_bad_example_gives_the_pages_code_and_no_other(code: str, tmp_path: Path) -> None:
    found, shown = bound(code, "bad", tmp_path)
    assert found == [code], shown


@pytest.mark.needs("grpcio")
@pytest.mark.parametrize("code", PAGES)
def test_a_good_example_gives_no_diagnostic(code: str, tmp_path: Path) -> None:
    found, shown = bound(code, "good", tmp_path)
    assert not found, shown


def test_every_page_about_messages_has_some() -> None:
    assert len(PAGES) >= 14


CHAINS = ["R030", "R031", "R032"]


@pytest.mark.parametrize("code", CHAINS)
def test_pages_about_chain_files(code: str, tmp_path: Path) -> None:
    path = tmp_path / "chain.py"
    for mark, wanted in (("bad", [code]), ("good", [])):
        (example,) = written(code).examples(mark)
        path.write_text(example)
        read = read_chain(path)
        shown = render_text(read.diagnostics, read.sources)
        assert sorted({d.code for d in read.diagnostics}) == wanted, shown
