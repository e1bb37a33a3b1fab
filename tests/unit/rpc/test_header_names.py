# SPDX-License-Identifier: Apache-2.0
"""A header that nobody can send is told before the chain is in force."""

from __future__ import annotations

import pytest

from tests.unit.rpc.wire_samples import service
from transect.base.diagnostic import Diagnostics
from transect.base.render import render_text
from transect.core.frontend import compile_text
from transect.rpc.binding import bind

pytestmark = pytest.mark.needs("grpcio")

POLICY = """
from transect.rpc import Code, Element, Forward, Reject, Rpc, Verdict

class Guard(Element):
    def request(self, rpc: Rpc) -> Verdict:
        if rpc.headers.get("{name}") is not None:
            return Reject(Code.PERMISSION_DENIED, "no")
        return Forward()
"""


def told(name: str) -> str:
    compiled = compile_text(POLICY.format(name=name), "guard.py")
    assert compiled.programs, render_text(compiled.diagnostics, compiled.sources)
    diagnostics = Diagnostics()
    bind(compiled.programs, service("sample.Sample"), diagnostics)
    return render_text(diagnostics, compiled.sources)


def test_a_name_in_capitals_is_an_error_that_says_how_it_is_written() -> None:
    text = told("X-Blocked")
    assert 'error[R022]: no header has the name "X-Blocked"' in text
    assert 'write "x-blocked"' in text


@pytest.mark.parametrize("name", ["x-blocked", "x-data-bin", "grpc-status", "x_y.z9"])
def test_a_name_in_lower_case_is_none(name: str) -> None:
    assert told(name) == ""
