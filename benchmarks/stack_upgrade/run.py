# SPDX-License-Identifier: Apache-2.0
"""Fifty upgrades of a whole stack under load: the chain in Envoy and the policy of the gateway change; one in five is
made to fail, by turns in the gateway and in the chain, and then all parts have to be as they were.

`failed`: requests that were not answered as they should be.  `lost`: calls that an element of the chain has not
counted, or counted twice.  `mixed`: calls that two versions of the chain saw: two elements write their version's
digit into the message, which the service sends back.  The control: one part of the stack is restarted instead.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import grpc
from measuring import Control, Samples, begin, claim, report, result

from tests.parts import need
from transect.control import Refused
from transect.demos.stack.files import ALL, Files
from transect.demos.stack.load import Came, Clients, Load
from transect.demos.stack.whole import Whole, begun
from transect.stack.process import State

UPGRADES = 50
FAILS = 5  # one upgrade in so many
ROUNDS = 1000  # of a hash, for a step of the engine
PAUSE_S = 0.2  # between two upgrades
LOADS = {name: Load(buyers=4, askers=2) for name in ("alice", "bob")}

HEAD = """\
from transect.examples.rpc.identify import Identify
from transect.rpc import Chain, Element, Forward, Message, Outcome, Rpc, Verdict


class Item(Message):
    number: int
"""
ELEMENT = """

class {name}(Element):
    calls: {kind} = {none}
    under_way: int = 0

    def request(self, rpc: Rpc[Item, Item]) -> Verdict:
        self.calls += {one}
        self.under_way += 1
        rpc.msg.number = rpc.msg.number * 10 + {digit}
        return Forward()

    def finish(self, rpc: Rpc[Item, Item], outcome: Outcome) -> None:
        self.under_way -= 1
"""
CHAIN = """

chain = Chain(
    service="shop.Shop",
    upstream="127.0.0.1:{shop}",
    listen="127.0.0.1:{front}",
    protos=["shop.proto"],
    elements=[Identify(keys={known}), First(), Last()],
)
"""


def chain(version: int, kind: str = "int") -> str:
    """The text of a chain's file; `kind`: the type of its last element's count, which another type cannot take over."""
    digit = version % 9 + 1
    elements = ELEMENT.format(name="First", kind="int", one="1", none="0", digit=digit)
    one, none = ("1", "0") if kind == "int" else ("1.0", "0.0")
    elements += ELEMENT.format(name="Last", kind=kind, one=one, none=none, digit=digit)
    return HEAD + elements.replace("{", "{{").replace("}", "}}") + CHAIN


class Heard:
    """What came back."""

    def __init__(self) -> None:
        self.numbers: Counter[int] = Counter()

    def __call__(self, answer: bytes) -> None:
        fields = dict(varints(answer))
        self.numbers[fields[2]] += 1

    @property
    def mixed(self) -> int:
        return sum(
            count for number, count in self.numbers.items() if number not in {11 * d for d in range(1, 10)}
        )


def varints(message: bytes) -> Iterator[tuple[int, int]]:
    """Field numbers and values of a message that has nothing else."""
    at = 0
    while at < len(message):
        field, at = varint(message, at)
        value, at = varint(message, at)
        yield field >> 3, value


def varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (message[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if message[at - 1] < 128:
            return value, at


def other_state(share: str) -> str:
    """The policy with a number of another type, which cannot go back into the old version."""
    changed = (
        ("import Tally, tally", "import Tally, as_float, as_int, tally"),
        ("level: int = 0", "level: float = 0.0"),
        ("self.level, self.served[chosen]", "self.level, as_float(self.served[chosen])"),
        ("default=self.level", "default=as_int(self.level)"),
    )
    for before, after in changed:
        assert before in share, "the example is as we know it"
        share = share.replace(before, after)
    return share


class Upgrades:
    """The upgrades, done under load."""

    def __init__(self, whole: Whole) -> None:
        self._whole = whole
        self._share = (whole.files.folder / "share.py").read_text()
        self.refused: Counter[str] = Counter()
        self.took_s: list[float] = []

    def __call__(self) -> None:
        for number in range(1, UPGRADES + 1):
            time.sleep(PAUSE_S)
            began = time.monotonic()
            if number % FAILS:
                self._put(chain(number), f"# version {number}\n{self._share}")
                told = self._whole.upgrade()
                assert (told["front"], told["gateway"]) == ("upgraded", "upgraded"), told
            else:
                self._fails(number)
            self.took_s.append(time.monotonic() - began)
            print(f"{number}: {self.took_s[-1]:.2f} s", file=sys.stderr)

    def _fails(self, number: int) -> None:
        """Try an upgrade that fails, since a part's state does not fit: by turns in one part and in the other."""
        before = versions(self._whole)
        part = "front" if number // FAILS % 2 else "gateway"
        if part == "front":
            self._put(chain(number, "float"), f"# version {number}\n{self._share}")
        else:
            self._put(chain(number), other_state(self._share))
        try:
            self._whole.upgrade()
        except Refused as no:
            assert no.why.endswith("all parts are as they were"), no.why
            assert versions(self._whole) == before, "all parts are as they were"
            self.refused[part] += 1
        else:
            raise AssertionError(f"upgrade {number} was to fail")

    def _put(self, front: str, share: str) -> None:
        folder = self._whole.files.folder
        (folder / "front.py").write_text(self._whole.files.front(front))
        (folder / "share.py").write_text(share)


def versions(whole: Whole) -> Sequence[tuple[str, str]]:
    """Name and version of all policies in force."""
    return [(row["name"], row["version"]) for row in whole.client.status()["policies"]]


def counted(whole: Whole) -> Sequence[int]:
    """The calls that each element has counted, and those that it takes to be under way."""
    told = {(row["element"], row["field"]): row["value"] for row in whole.client.status()["state"]}
    return [int(told[f"front.{of}", field]) for field in ("calls", "under_way") for of in ("First", "Last")]


def loaded(whole: Whole, meanwhile: Callable[[], None]) -> tuple[Heard, Mapping[str, Came]]:
    """What came back, and what came of the requests."""
    heard = Heard()
    return heard, asyncio.run(Clients(whole.files, heard).run(LOADS, meanwhile))


def failed(came: Mapping[str, Came]) -> int:
    return sum(len(one.failed) for one in came.values())


def killed(whole: Whole) -> int:
    """How many requests failed while a part was killed and started again."""
    front = whole.running.process("front")
    assert front is not None, "the stack has one"

    def kill() -> None:
        front.cut()
        until = time.monotonic() + 60
        while front.restarts == 0 or front.state is not State.READY:
            assert time.monotonic() < until, "it begins anew"
            whole.running.look()
            time.sleep(0.05)

    return failed(loaded(whole, kill)[1])


def main() -> None:
    need("envoy")
    the_claim, samples = claim(__file__), Samples()
    with tempfile.TemporaryDirectory() as name:
        files = Files(Path(name), envoy=True, chain=chain(0), rounds=ROUNDS)
        with begun(files, ALL) as whole:
            upgrades = Upgrades(whole)
            heard, came = loaded(whole, upgrades)
            answered = heard.numbers.total()
            *calls, first, last = counted(whole)
            toy = killed(whole)
    samples.add("failed", failed(came))
    samples.add("lost", sum(abs(one - answered) for one in calls) + abs(first) + abs(last))
    samples.add("mixed", heard.mixed)
    report(
        result(
            the_claim,
            samples,
            [Control("a chain in Envoy that is killed, and begins anew", toy > 0)],
            upgrades=UPGRADES,
            refused=dict(upgrades.refused),
            calls=answered,
            prompts=sum(one.prompts for one in came.values()),
            seen=sorted(heard.numbers),
            longest_s=round(max(upgrades.took_s), 2),
            grpcio=grpc.__version__,
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
