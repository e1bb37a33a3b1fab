# SPDX-License-Identifier: Apache-2.0
"""A module whose name is misspelt is named right in the help, and what was imported from it earns no second error."""

from __future__ import annotations

from pathlib import Path

import pytest

from transect.core.frontend import compile_file, compile_text

POLICY = """
{line}

class Pass(Element):
    def request(self, rpc: Rpc) -> Verdict:
        return Forward()
"""
MEANT = {
    "from trasnect.rpc import Element, Forward, Rpc, Verdict": "transect.rpc",
    "from Transect.rpc import Element, Forward, Rpc, Verdict": "transect.rpc",
    "from transect.rcp import Element, Forward, Rpc, Verdict": "transect.rpc",
    "from transcet.rpcs import Element, Forward, Rpc, Verdict": "transect.rpc",
    "from trasnect.examples.rpc.acl import Acl": "transect.examples.rpc.acl",
    "from transect.langs import param": "transect.lang",
    "from transect.shape import Arbiter": "transect.shapes",
    "from trasnect.stack import Stack": "transect.stack",
    "from typings import Final": "typing",
    "from trasnect import rpc": "transect",
    "import trasnect.rpc": "",
    "from random import Random": "",
}


@pytest.mark.parametrize("line", MEANT)
def test_the_module_that_is_meant_is_named(line: str) -> None:
    (found,) = (d for d in compile_text(f"{line}\n").diagnostics if d.code == "P004")
    if MEANT[line]:
        assert found.help.startswith(f"write `from {MEANT[line]} import")
    else:
        assert "transect.rpc" not in found.help.replace("transect.…", "")


def test_a_file_beside_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "limits.py").write_text("from typing import Final\nMOST: Final = 3\n")
    (tmp_path / "policy.py").write_text("from limit import MOST\nfrom .limts import MOST as OTHER\n")
    helps = [d.help for d in compile_file(str(tmp_path / "policy.py")).diagnostics]
    assert helps == ["write `from limits import …`", "write `from .limits import …`"]


@pytest.mark.parametrize(
    "line",
    [
        "from trasnect.rpc import Element, Forward, Rpc, Verdict",
        "from trasnect.rpc import Element\nfrom transect.rpc import Forward, Rpc, Verdict",
        "from trasnect.rpc import Forward, Rpc\nfrom transect.rpc import Element, Verdict",
        "from trasnect.rpc import Verdict\nfrom transect.rpc import Element, Forward, Rpc",
        "from transect.rpc import Element, Forwrad as Forward, Rpc, Verdict",
        "from transect.rpc import Elemnt as Element, Forward, Rpc, Verdict",
    ],
)
def test_what_was_to_come_from_it_earns_no_second_error(line: str) -> None:
    compiled = compile_text(POLICY.format(line=line))
    assert [d.code for d in compiled.diagnostics] in (["P004"], ["P005"])
    assert not compiled.programs


@pytest.mark.parametrize("module", ["lang", "rpc", "llm", "cpu", "memory", "shapes"])
def test_the_names_that_are_offered_are_for_policies_and_have_their_home_there(module: str) -> None:
    (found,) = compile_text(f"from transect.{module} import Zzzzzzzz\n").diagnostics
    assert found.help.startswith("known: ")
    offered = found.help.removeprefix("known: ").split(", ")
    assert offered
    assert not {"Any", "Generic", "TYPE_CHECKING", "TypeAlias", "annotations", "intrinsic"} & {*offered}
    assert module == "lang" or not {"Policy", "View", "Duration", "Sequence", "struct"} & {*offered}


def test_a_name_of_the_language_is_imported_from_there() -> None:
    (found,) = compile_text("from transect.shapes import rand_below\n").diagnostics
    assert found.help == "write `from transect.lang import rand_below`"
