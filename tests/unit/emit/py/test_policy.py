# SPDX-License-Identifier: Apache-2.0
"""A policy under test is an ordinary object: built with keywords, read and set by attributes, checked at its edges."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import transect
from tests.unit.emit.py.texts import ACL, FAIR_SHARE, RPC
from transect.emit.py.image import image, restore
from transect.lang import PolicyError, tape
from transect.shapes import Client

LIMIT = (
    RPC
    + '''
@struct
class Bucket:
    tokens: int = 3
    name: str = text(8)

class RateLimit(Element):
    """Never more than `per_second`."""
    per_second: Param[int] = param(100)
    share: Param[float] = param(0.5)
    bucket: Bucket = Bucket(tokens=7)
    last: str = text(4)
    served: Tally[str, int] = tally(2)
    row: Array[Bucket] = array(2)
    calls: Counter = counter()
    took: Histogram = histogram()
    best: Bucket | None = None
    pair: tuple[bytes, bool] = (b"", False)
    level: Level = Level.LOW
    started: Local[int] = local(3)

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        self.started += 1
        self.calls.add(2)
        self.took.observe(rpc.msg.n)
        self.bucket.tokens -= 1
        self.served[rpc.msg.user] += 1
        self.last = rpc.msg.user
        return Reject(Code.ABORTED, f"{self.started}")
'''
)


@pytest.fixture(scope="module")
def limit() -> Any:
    return transect.load(LIMIT)


def test_parameters_are_keywords_and_fields_are_attributes(limit: Any) -> None:
    policy = limit.RateLimit(per_second=5, served={"al": 3})
    assert (policy.per_second, policy.share, policy.served["al"], policy.last) == (5, 0.5, 3, "")
    policy.share, policy.pair, policy.level = 1, (b"x", True), limit.Level.HIGH
    policy.best = limit.Bucket(tokens=1)
    assert (policy.pair, policy.level, policy.best.tokens) == ((b"x", True), 1, 1)
    policy.pair, policy.level, policy.best = (b"", False), limit.Level.LOW, None
    policy.row = [limit.Bucket(tokens=2), limit.Bucket()]
    assert policy.row[0] == limit.Bucket(tokens=2)
    policy.row = [limit.Bucket(tokens=0)] * 2
    policy.served["bob"] = 2
    policy.last = "é"
    policy.bucket.tokens = 1
    policy.request(limit.Rpc(msg=limit.Ask(user="bob", n=9)))
    assert policy.bucket == limit.Bucket(tokens=0)
    assert isinstance(policy, limit.RateLimit)
    assert repr(policy) == (
        "RateLimit(per_second=5, share=1.0, bucket=Bucket(tokens=0, name=''), last='bob', served={'al': 3, 'bob': 3}, "
        "row=[Bucket(tokens=0, name=''), Bucket(tokens=0, name='')], calls=2, took={4: 1}, "
        "best=None, pair=(b'', False), level=<Level.LOW: 0>)"
    )


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            "RateLimit(per_secnd=5)",
            TypeError,
            "RateLimit has no field `per_secnd`; did you mean `per_second`?",
        ),
        ("setattr(policy, 'lst', 'x')", AttributeError, "RateLimit has no field `lst`; did you mean `last`?"),
        ("policy.requst", AttributeError, "RateLimit has no attribute `requst`; did you mean `request`?"),
        ("RateLimit(per_second='5')", TypeError, "RateLimit.per_second: `int` is wanted, not '5'"),
        ("RateLimit(per_second=True)", TypeError, "RateLimit.per_second: `int` is wanted, not True"),
        (
            "RateLimit(per_second=2**63)",
            ValueError,
            f"RateLimit.per_second: {2**63} is outside of int ({-(2**63)} … {2**63 - 1})",
        ),
        ("RateLimit(last='12345')", ValueError, "RateLimit.last: 5 bytes do not fit its 4"),
        (
            "RateLimit(served={'a': 1, 'b': 2, 'c': 3})",
            ValueError,
            "RateLimit.served: 3 entries are more than its 2",
        ),
        ("RateLimit(served={1: 1})", TypeError, "RateLimit.served: `str` is wanted, not 1"),
        ("RateLimit(served=5)", TypeError, "RateLimit.served: a mapping of its entries is wanted, not 5"),
        ("RateLimit(row=[Bucket()])", ValueError, "RateLimit.row: 2 items are wanted, not 1"),
        ("RateLimit(bucket=3)", TypeError, "RateLimit.bucket: `Bucket` is wanted, not 3"),
        (
            "setattr(policy, 'calls', 3)",
            AttributeError,
            "RateLimit.calls is counted by the policy; it cannot be set",
        ),
        (
            "policy.started",
            AttributeError,
            "RateLimit.started is one value per RPC: a handler has it, not the policy",
        ),
        (
            "setattr(policy, 'started', 3)",
            AttributeError,
            "RateLimit.started is one value per RPC: only a handler sets it",
        ),
        ("policy.request()", TypeError, "request() wants 1 arguments, not 0"),
        (
            "RateLimit.request(policy, 1)",
            PolicyError,
            "`RateLimit.request` has no meaning by itself; build the policy and call `policy.request(…)`",
        ),
    ],
)
def test_mistakes_say_what_to_write(limit: Any, call: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as raised:
        eval(call, {**vars(limit), "policy": limit.RateLimit()})
    assert str(raised.value) == text


def test_two_policies_share_nothing(limit: Any) -> None:
    one, two = limit.RateLimit(), limit.RateLimit()
    one.request(limit.Rpc(msg=limit.Ask(user="al")))
    assert (one.bucket.tokens, two.bucket.tokens) == (6, 7)
    assert two.served["al"] == 0


def test_an_rpc_carries_its_locals_for_each_policy(limit: Any) -> None:
    one, two, rpc = limit.RateLimit(), limit.RateLimit(), limit.Rpc(msg=limit.Ask())
    told = [policy.request(rpc).message for policy in (one, one, two)]
    assert told == ["4", "5", "4"]
    assert one.request(limit.Rpc(msg=limit.Ask())).message == "4"


def test_hooks_that_a_policy_leaves_out_do_what_the_base_says() -> None:
    m = transect.load(ACL)
    acl = m.Acl()
    assert acl.response(m.Rpc()) == m.Forward()
    assert acl.finish(m.Rpc(), None) is None


def test_waiting_is_set_or_kept_by_the_test() -> None:
    fair = transect.load(FAIR_SHARE).FairShare()
    alice, bob = Client("alice"), Client("bob")
    for client in (alice, bob):
        fair.arrive(client)
        fair.waiting.append(client)
    assert fair.pick() == alice
    fair.charge(alice, 3)
    assert fair.pick() == Client("bob")
    fair.waiting = [alice]
    assert list(fair.waiting) == [alice]
    assert (fair.waiting[0], len(fair.waiting), bob in fair.waiting) == (alice, 1, False)
    fair.forget(alice)
    assert dict(fair.served.items()) == {}


def test_time_and_randomness_come_from_the_test() -> None:
    m = transect.load(
        RPC
        + """
class Fault(Element):
    at: Instant = 0
    def request(self, rpc: Rpc) -> Verdict:
        self.at = now()
        return Reject(Code.UNAVAILABLE, "fault") if rand() < 0.5 else Forward(after=ns(rand_below(7)))
""".replace("ns(rand_below(7))", "ms(3)")
    )
    fault = m.Fault()
    with tape(now=[5, 6], rand=[0.25, 0.75]):
        assert isinstance(fault.request(m.Rpc()), m.Reject)
        assert fault.request(m.Rpc()) == m.Forward(after=3_000_000)
    assert fault.at == 6


def test_traces_go_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    m = transect.load(
        RPC
        + 'class Say(Element):\n    def request(self, rpc: Rpc) -> Verdict:\n        trace(f"hello {rpc.method}")\n'
        "        return Forward()\n"
    )
    with caplog.at_level("INFO", logger="transect.Say"):
        m.Say().request(m.Rpc(method="/a"))
    assert caplog.messages == ["hello /a"]


def test_state_goes_into_an_image_and_comes_back(limit: Any) -> None:
    one, two = limit.RateLimit(per_second=3), limit.RateLimit()
    for user in ("al", "bob", "x", "longer"):
        one.request(limit.Rpc(msg=limit.Ask(user=user)))
    restore(two, image(one))
    assert repr(two) == repr(one).replace("<Level.LOW: 0>", "0")
    assert (two.served.overflow, image(two)) == (2, image(one))
    two.bucket.tokens = 1
    assert one.bucket.tokens == 3


def test_handler_calls_are_atomic(limit: Any) -> None:
    """Many threads, one policy: nothing is lost, although each call reads and then writes."""
    policy = limit.RateLimit()

    def work() -> None:
        rpc = limit.Rpc(msg=limit.Ask(user="al"))
        for _ in range(500):
            policy.request(rpc)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert policy.served["al"] == 4000
    assert policy.bucket.tokens == 7 - 4000


def test_the_lock_is_held_during_a_call() -> None:
    m = transect.load(RPC + 'class Say(Element):\n    def request(self, rpc: Rpc) -> Verdict:\n        trace("x")\n'
        "        return Forward()\n")  # fmt: skip
    say = m.Say()
    seen: list[bool] = []

    def probe(_: str) -> None:
        thread = threading.Thread(target=lambda: seen.append(say.__state__.__lock__.acquire(blocking=False)))
        thread.start()
        thread.join()

    say.__functions__["trace"] = probe
    say.request(m.Rpc())
    assert seen == [False]
    assert say.__state__.__lock__.acquire(blocking=False)
