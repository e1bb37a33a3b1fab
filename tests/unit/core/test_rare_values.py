# SPDX-License-Identifier: Apache-2.0
"""Messages that are changed and searched, verdicts told apart, tables that are shown, texts that are no Python."""

from __future__ import annotations

import re
from textwrap import dedent, indent
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.core.running import IMPORTS, arbiter, compiled
from transect.core.codec import CodecError, Reader, encode
from transect.core.frontend import compile_text
from transect.core.interp import Instance
from transect.core.text import dump, parse
from transect.core.types import ViewType

ELEMENT = """
    class Ask(Message):
        user: str
        size: u32
        labels: Mapping[str, int]
        total: int
    class P(Element):
        count: int = 0
        def _decided(self, size: int) -> Verdict:
            if size > 3:
                return Reject(Code.ABORTED, "large")
            return Forward()
        def request(self, rpc: Rpc[Ask, Ask]) -> Verdict:
"""


def requested(body: str, **message: Any) -> tuple[Instance, Any]:
    """The policy after one request, and the message."""
    program = compiled(dedent(ELEMENT) + indent(dedent(body), "        "))
    p = Instance(program)
    rpc = SimpleNamespace(msg=SimpleNamespace(**{"user": "a", "size": 1, "total": 1, "labels": {}} | message))
    p.call("request", (rpc,))
    return p, rpc.msg


def test_a_field_of_a_message_is_updated_in_its_width() -> None:
    _, message = requested("rpc.msg.size += 5\nrpc.msg.total += 5\nreturn Forward()", size=2**32 - 2)
    assert (message.size, message.total) == (3, 6)


def test_a_field_of_a_message_is_updated_in_one_step() -> None:
    program = compiled(dedent(ELEMENT) + indent("rpc.msg.size = 5\nreturn Forward()", "        "))
    text = re.sub(r"  ; .*", "", dump(program))
    assert text.count("store (rpc->msg)->size = cast(5)::u32") == 1, text
    p = Instance(parse(text.replace("store (rpc->msg)->size = cast(5)::u32", "update (rpc->msg)->size + 5")))
    message = SimpleNamespace(size=2**32 - 2)
    p.call("request", (SimpleNamespace(msg=message),))
    assert message.size == 3


def test_a_label_that_may_be_there() -> None:
    body = "x = rpc.msg.labels.get('a')\nif x is not None:\n    self.count = x\nreturn Forward()"
    assert requested(body, labels={"a": 7})[0].state["count"] == 7
    assert requested(body)[0].state["count"] == 0


def test_a_struct_that_may_be_none_is_updated_where_it_is_not() -> None:
    text = """
        @struct
        class Bucket:
            tokens: int

        class P(Element):
            buckets: Map[str, Bucket] = table(16)

            def request(self, rpc: Rpc) -> Verdict:
                found = self.buckets.get("all")
                if found is None:
                    self.buckets["all"] = Bucket(1)
                else:
                    found.tokens = found.tokens + 1  # one step, as `+=` is
                    self.buckets["all"] = found
                return Forward()
    """
    p = Instance(compiled(text))
    for _ in range(3):
        p.call("request", (SimpleNamespace(msg=None),))
    assert "tokens=3" in repr(p.state["buckets"].get("all"))


def test_a_helper_gives_one_of_structs_that_no_verdict_has() -> None:
    text = """
        @struct
        class Few:
            n: int

        @struct
        class Many:
            n: int

        class P(Element):
            count: int = 0

            def request(self, rpc: Rpc) -> Verdict:
                match self._sized(self.count):
                    case Few(n):
                        self.count = n + 5
                    case Many(n):
                        self.count = n * 2
                return Forward()

            def _sized(self, n: int) -> Few | Many:
                if n < 5:
                    return Few(n)
                return Many(n)
    """
    p = Instance(compiled(text))
    counts = []
    for _ in range(3):
        p.call("request", (SimpleNamespace(msg=None),))
        counts.append(p.state["count"])
    assert counts == [5, 10, 20]


@pytest.mark.parametrize(("size", "count"), [(1, 1), (9, 2)])
def test_a_verdict_is_told_apart(size: int, count: int) -> None:
    body = """
        match self._decided(rpc.msg.size):
            case Reject():
                self.count = 2
            case _:
                self.count = 1
        return Forward()
    """
    assert requested(body, size=size)[0].state["count"] == count


def test_a_table_shows_what_it_holds() -> None:
    p = arbiter(
        "names: Map[int, int] = table(8)\nserved: Tally[Client, int] = tally(2)", "self.names[cost] = 2"
    )
    p.call("charge", (1, 5))
    assert repr(p.state["names"]) == "Table({5: 2}, capacity=8)"
    assert repr(p.state["served"]) == "Tally({})"


def test_a_view_has_no_encoding() -> None:
    with pytest.raises(CodecError, match="reference to outside data"):
        encode(ViewType("Rpc"), object())
    with pytest.raises(CodecError):
        Reader(b"").value(ViewType("Rpc"))


@pytest.mark.parametrize("text", ["x = '\0'", f"x = {'9' * 5000}", "(" * 3000 + ")" * 3000, "x = (\n"])
def test_what_is_no_python(text: str) -> None:
    found = compile_text(IMPORTS + text)
    assert {d.code for d in found.diagnostics} == {"P001"}


def test_what_a_module_may_hold_besides() -> None:
    assert not compile_text(IMPORTS + '"""A text."""\npass\n').diagnostics
    assert not compile_text(
        "chain = ['acl.py:Acl']\nedges = []\n"
    ).diagnostics  # a chain file's, read by its stratum
