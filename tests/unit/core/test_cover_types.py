# SPDX-License-Identifier: Apache-2.0
"""Types as people may write them: quoted, with `None` first, in sets, and wrapped where no wrapper belongs."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

from tests.unit.core.running import IMPORTS, arbiter
from transect.core.frontend import compile_text
from transect.core.param_text import parse_value, show_value
from transect.core.stratum_functions import MODULES, STRATA, provided
from transect.core.types import BYTES, INT, BytesType, TupleType, Type

SAME = {
    '"int"': "int",
    '"int | None"': "int | None",
    "None | int": "int | None",
    '"tuple[int, bool]"': "tuple[int, bool]",
}


@pytest.mark.parametrize(("written", "meant"), SAME.items())
def test_a_type_may_be_written_otherwise(written: str, meant: str) -> None:
    def kept(t: str) -> Type:
        first = {"int": "0", "int | None": "None", "tuple[int, bool]": "(0, False)"}[meant]
        field = arbiter(f"kept: {t} = {first}").program.field("kept")
        assert isinstance(field.type, Type)
        return field.type

    assert kept(written) == kept(meant)


def test_a_helper_takes_a_set() -> None:
    p = arbiter(
        "result: int = 0",
        "self.result = size({x for x in range(5)})",
        "@helper\ndef size(of: set[int]) -> int:\n    return len(of)\n",
    )
    p.call("charge", (1, 5))
    assert p.state["result"] == 5


LEAST = """\
class P(Arbiter):
    def pick(self) -> Client:
        return min(self.waiting, key=lambda c: 0)
"""
REFUSED = {
    "set[missing]": "missing",
    "Sequence[missing]": "missing",
    "missing | None": "missing",
    "tuple[int, missing]": "missing",
    '"missing"': "missing",
    '"1 +"': "this is not a type",
    "Final[int]": "this wrapper stands around a whole annotation only",
    "tuple[Map[int, int], int]": "a table is a state field of its own",
    "Box[int]": "`Box` does not take type arguments",
}


@pytest.mark.parametrize(("written", "told"), REFUSED.items())
def test_what_is_no_type_of_a_parameter_is_told_once(written: str, told: str) -> None:
    text = f"@struct\nclass Box:\n    a: int = 0\n@helper\ndef f(x: {written}) -> int:\n    return 1\n"
    (found,) = compile_text(f"{IMPORTS}{text}{LEAST}").diagnostics
    assert told in found.message


def test_bytes_are_given_and_shown_as_text() -> None:
    assert parse_value("ab", BYTES) == b"ab"
    assert show_value(b"a\xff", BytesType(4)) == "a\\xff"


def test_a_tuple_cannot_be_given_as_a_text() -> None:
    with pytest.raises(ValueError, match="cannot be set from a command line"):
        parse_value("1, 2", TupleType((INT, INT)))


@pytest.mark.parametrize("name", ["len", "nowhere.seal", "rpc.inner.seal", "rpc.missing", "llm.seal"])
def test_what_no_stratum_has_is_provided_by_none(name: str) -> None:
    assert provided(name) is None


@pytest.mark.parametrize("stratum", STRATA)
def test_every_stratum_that_has_functions_stands_in_the_table(stratum: str) -> None:
    name = f"transect.{stratum}.functions"
    assert MODULES.get(stratum) == (name if find_spec(name) else None)


def test_what_a_stratum_has_is_provided() -> None:
    import transect.rpc.functions as functions

    name, function = next(
        (n, f) for n, f in vars(functions).items() if callable(f) and f.__module__ == functions.__name__
    )
    found: Any = provided(f"rpc.{name}")
    assert found is function


@pytest.mark.parametrize("written", ["None", "int", "str | None"])
def test_a_view_is_of_what_has_fields(written: str) -> None:
    body = f"class P(Element):\n    def request(self, rpc: Rpc[Any, {written}]) -> Verdict:\n        return Forward()\n"
    (found,) = compile_text(f"from typing import Any\n{IMPORTS}{body}").diagnostics
    assert (found.code, found.message) == ("P030", f"`{written}` has no fields")
