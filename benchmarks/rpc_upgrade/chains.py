# SPDX-License-Identifier: Apache-2.0
"""Chain files of two versions: each element counts calls, and writes the version's digit behind the request's number.

What one RPC has gone through can then be read in its reply: 111 or 222, never a mixture.
"""

from __future__ import annotations

from pathlib import Path

HEAD = """\
from transect.lang import Tally, tally
from transect.rpc import Chain, Element, Forward, Message, Outcome, Rpc, Verdict


class Ask(Message):
    user: str
    number: int


class Answer(Message):
    number: int
"""
ELEMENT = """

class {name}(Element):
    users: Tally[str, int] = tally(64)
    under_way: int = 0

    def request(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        self.users[rpc.msg.user] += 1
        self.under_way += 1
        rpc.msg.number = rpc.msg.number * 10 + {version}
        return Forward()

    def finish(self, rpc: Rpc[Ask, Answer], outcome: Outcome) -> None:
        self.under_way -= 1
"""
CHAIN = """

chain = Chain(service="bench.Echo", upstream="{upstream}", protos=["echo.proto"], elements=[{elements}])
"""
NAMES = ("First", "Moving", "Last")


def policies(version: int) -> str:
    return HEAD + "".join(ELEMENT.format(name=name, version=version) for name in NAMES)


def chain_file(folder: Path, name: str, version: int, elements: str, upstream: str = "127.0.0.1:1") -> Path:
    """A chain file; `elements`: names with commas."""
    path = folder / f"{name}.py"
    listed = ", ".join(f"{one}()" for one in elements.split(",") if one)
    path.write_text(policies(version) + CHAIN.format(upstream=upstream, elements=listed))
    return path
