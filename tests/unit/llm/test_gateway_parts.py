# SPDX-License-Identifier: Apache-2.0
"""The pieces of the gateway by themselves: requests, streams, windows, shared counters."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transect.llm.config import Config, Tenant
from transect.llm.gateway import answers, relay
from transect.llm.gateway.answers import Reply
from transect.llm.gateway.background import cancelled, regularly
from transect.llm.gateway.calls import UNBOUNDED, BadCall, Counting, read
from transect.llm.gateway.corked import Corked
from transect.llm.gateway.dispatch import Expectation
from transect.llm.gateway.replica import LEAST, Replica, Said, understand
from transect.llm.gateway.settings import Limits, Upstream
from transect.llm.gateway.share import Numbers, Shared, Valkey
from transect.llm.gateway.usage import Events, Garbage, of_answer
from transect.llm.request import Held
from transect.llm.service import Service

# ---------------------------------------------------------------- requests


def call(**asked: Any) -> Any:
    return read("/v1/completions", json.dumps(asked).encode())


def test_tokens_are_counted_and_texts_estimated() -> None:
    assert call(prompt=[1, 2, 3]).prompt == 3
    assert call(prompt=[[1, 2], [3]]).prompt == 3
    assert call(prompt="x" * 400).prompt == 100
    assert call(messages=[{"role": "user", "content": [{"type": "text", "text": "y" * 80}]}]).prompt >= 20


def test_limits() -> None:
    assert call(prompt="x").limit == UNBOUNDED
    assert call(prompt="x", max_tokens=9).limit == 9
    assert call(prompt="x", max_tokens=9, max_completion_tokens=5, n=3).limit == 15


@pytest.mark.parametrize(
    ("asked", "limit"),
    [
        ({"prompt": ["x"] * 1000}, 100_000),
        ({"prompt": [[1, 2], [3]]}, 200),
        ({"prompt": [1, 2, 3]}, 100),
        ({"prompt": "x", "best_of": 5}, 500),
        ({"prompt": "x", "best_of": 5, "n": 7}, 700),
        ({"prompt": ["x", "y"], "best_of": 5, "n": 2}, 1000),
        ({"prompt": "x", "n": 1 << 60}, UNBOUNDED),
    ],
)
def test_a_limit_is_of_all_answers_to_all_prompts(asked: dict[str, Any], limit: int) -> None:
    assert call(max_tokens=100, **asked).limit == limit


@pytest.mark.parametrize("name", ["n", "best_of", "max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("value", [True, -1, "9", 1.5, [3]])
def test_a_number_that_is_none_is_refused_by_its_name(name: str, value: object) -> None:
    with pytest.raises(BadCall, match=f"`{name}` is a whole number"):
        call(prompt="x", **{name: value})


def test_what_may_be_null_is_as_if_it_were_not_there() -> None:
    null = dict.fromkeys(("stream", "stream_options", "max_tokens", "n", "best_of"))
    found = call(prompt="x", **null)
    assert not found.stream and not found.wants_usage and found.limit == UNBOUNDED


@pytest.mark.parametrize("shape", [b'{"prompt": %s}', b'{"messages": %s, "stream": true}', b"%s"])
@pytest.mark.parametrize("depth", [900, 5_000, 100_000])
def test_a_body_that_is_nested_deeply_is_a_call_or_told_so(shape: bytes, depth: int) -> None:
    try:
        read("/v1/completions", shape % (b"[" * depth + b"]" * depth))
    except BadCall as wrong:
        assert "nested too deeply" in str(wrong) or "JSON object" in str(wrong)


@pytest.mark.parametrize(
    "number", [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"9" * 5000, rb'"\ud800"', rb'"\udc00x"', b"01"]
)
def test_what_json_cannot_say_is_no_json(number: bytes) -> None:
    with pytest.raises(BadCall, match="no JSON"):
        read("/v1/completions", b'{"prompt": "x", "seed": ' + number + b"}")


def test_an_engine_reads_the_values_that_were_understood_of_a_name_that_comes_twice() -> None:
    found = read(
        "/v1/completions",
        b'{"prompt": "x", "max_tokens": 9, "stream": true, "stream": false, "max_tokens": 5}',
    )
    assert found.limit == 5 and not found.stream
    assert found.body == b'{"prompt":"x","max_tokens":5,"stream":false}'


def test_a_stream_asks_an_engine_for_as_much_as_it_takes() -> None:
    found = call(prompt="x", stream=True, stream_options={"other": 1})
    options = {how: json.loads(found.body_for(how)).get("stream_options") for how in Counting}
    assert options == {
        Counting.CONTINUOUS: {"other": 1, "include_usage": True, "continuous_usage_stats": True},
        Counting.FINAL: {"other": 1, "include_usage": True},
        Counting.NONE: {"other": 1},
    }
    assert "stream_options" not in json.loads(call(prompt="x", stream=True).body_for(Counting.NONE))
    assert "stream_options" not in json.loads(call(prompt="x").body)


@given(
    st.dictionaries(
        st.sampled_from(["prompt", "stream", "max_tokens", "n", "best_of", "stream_options", "messages"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=3), x, max_size=3),
        ),
    )
)
def test_any_body_is_a_call_or_told_why_not(asked: dict[str, Any]) -> None:
    try:
        found = read("/v1/completions", json.dumps(asked).encode())
    except BadCall as wrong:
        assert str(wrong)
    else:
        assert found.prompt >= 0 and 0 <= found.limit <= UNBOUNDED


# ---------------------------------------------------------------- streams


def event(**said: Any) -> bytes:
    return b"data: " + json.dumps(said).encode() + b"\n\n"


STREAM = (
    event(choices=[{"text": "a"}], usage={"prompt_tokens": 4, "completion_tokens": 1})
    + b": a comment\n\n"
    + event(choices=[{"text": "b"}], usage={"prompt_tokens": 4, "completion_tokens": 3})
    + event(choices=[], usage={"prompt_tokens": 4, "completion_tokens": 3})
    + b"data: [DONE]\n\n"
)


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=12))
def test_a_stream_is_the_same_however_it_is_cut(cuts: list[int]) -> None:
    events, passed, at = Events(keep_usage=False), b"", 0
    for cut in [*sorted(set(cuts)), len(STREAM)]:
        passed += events.feed(STREAM[at:cut])
        at = cut
    assert events.end() == b""
    assert (events.used.prompt, events.output, events.done) == (4, 3, True)
    assert b"usage" not in passed
    assert passed.count(b"data: ") == 3
    assert b": a comment" in passed


LAST = b'{"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 3}}'
TEXT = b'{"choices": [{"text": "a"}]}'
LEGAL = {  # what clients take for events; each says that 3 tokens came out
    "other fields before the data": b"event: x\nid: 3\ndata: " + LAST + b"\n\n",
    "JSON over two lines": b'data: {"choices": [],\ndata: "usage": {"prompt_tokens": 4, "completion_tokens": 3}}\n\n',
    "lines that end with CR": b"data: " + LAST + b"\r\r",
    "lines that end with CR LF": b"data: " + LAST + b"\r\n\r\n",
    "lines that end in several ways": b"id: 1\rdata: " + LAST + b"\r\n\n",
    "no blank": b"data:" + LAST + b"\n\n",
    "a mark of the order of bytes": b"\xef\xbb\xbfdata: " + LAST + b"\n\n",
    "an end without an empty line": b"data: " + LAST + b"\n",
    "an end without anything": b"data: " + LAST,
    "an infinity": b"data: " + LAST[:-1] + b', "token_logprobs": [-Infinity, NaN]}\n\n',
    "half of a surrogate pair": b"data: " + LAST[:-1] + b', "text": "\\ud800"}\n\n',
    "lines without empty ones between": b"data: " + TEXT + b"\ndata: " + LAST + b"\ndata: [DONE]\n",
    "text that is no JSON": b"data: one\n\ndata: two\n\ndata: three\n\n",
    "JSON that is no object": b'data: "one"\n\ndata: ["two"]\n\ndata: 3\n\n',
}


@pytest.mark.parametrize("stream", LEGAL.values(), ids=LEGAL)
def test_what_a_client_takes_for_an_event_is_counted_wherever_it_is_cut(stream: bytes) -> None:
    for at in range(len(stream) + 1):
        events = Events(keep_usage=True)
        passed = events.feed(stream[:at]) + events.feed(stream[at:]) + events.end()
        assert events.output == 3
        assert passed == stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


@pytest.mark.parametrize("stream", [s for s in LEGAL.values() if s.count(LAST[1:-1]) == 1 and TEXT not in s])
def test_usage_that_nobody_asked_for_is_taken_out_of_any_event(stream: bytes) -> None:
    events = Events(keep_usage=False)
    assert b"usage" not in events.feed(stream) + events.end()


def test_what_json_does_not_have_goes_on_as_it_came() -> None:
    said = b'data: {"choices": [{"text": "\\ud800", "logprob": -Infinity}], "usage": {"completion_tokens": 1}}\n\n'
    events = Events(keep_usage=False)
    passed = events.feed(b"id: 7\n" + said)
    assert events.output == 1
    assert passed == b'id: 7\ndata: {"choices": [{"text": "\\ud800", "logprob": -Infinity}]}\n\n'


def test_an_answer_that_python_wrote_is_one() -> None:
    said = b'{"usage": {"prompt_tokens": 4, "completion_tokens": 3}, "logprobs": [NaN, -Infinity], "text": "\\ud800"}'
    assert (of_answer(said).prompt, of_answer(said).output) == (4, 3)


def test_usage_stays_where_it_was_asked_for() -> None:
    assert Events(keep_usage=True).feed(STREAM) == STREAM


@pytest.mark.parametrize("odd", [b"data: {\n\n", b"data: 7\n\n", b"\n\n", b"event: x\n\n", b"data: null\n\n"])
def test_what_is_no_event_of_ours_passes(odd: bytes) -> None:
    assert Events(keep_usage=False).feed(odd) in (odd, b"")


def test_an_event_without_an_end_is_not_kept_for_ever() -> None:
    events = Events(keep_usage=False)
    with pytest.raises(Garbage):
        for _ in range(100):
            events.feed(b"data: " + b"x" * (1 << 20))


def test_counts_that_are_none() -> None:
    assert of_answer(b'{"usage": {"prompt_tokens": 5, "completion_tokens": null}}').odd is False
    for usage in (
        b"7",
        b'{"prompt_tokens": -1}',
        b'{"completion_tokens": "9"}',
        b'{"completion_tokens": 1e300}',
    ):
        assert of_answer(b'{"usage": %s}' % usage).odd
        events = Events(keep_usage=True)
        events.feed(b'data: {"usage": %s}\n\n' % usage + b"data: " + LAST + b"\n\n")
        assert events.odd and events.output == 3
    assert of_answer(b'{"usage": {"prompt_tokens": true, "completion_tokens": -3}}').output is None
    assert of_answer(b'{"usage": {"prompt_tokens": 1e300}}').prompt is None
    with pytest.raises(Garbage):
        of_answer(b"<html>")


# ---------------------------------------------------------------- windows


def replica(window: Any = "auto") -> Replica:
    return Replica(Upstream("http://127.0.0.1:1", window=window), Limits(), 100)


def test_a_window_begins_with_the_engines_memory() -> None:
    made = replica()
    made.learn(Said(0, 0.0, 4096))
    assert made.window == 4096


def test_it_shrinks_while_the_engine_queues_and_grows_while_tenants_wait() -> None:
    made = replica()
    made.learn(Said(0, 0.0, 4096))
    for _ in range(100):
        made.learn(Said(3, 0.5, 4096))
    assert made.window == 256, "a sixteenth of the memory; it never grew by shrinking"
    made.learn(Said(0, 0.2, 4096))
    assert made.window == 256, "nobody waits for it"
    for _ in range(100):
        made.limited()
        made.learn(Said(0, 0.2, 4096))
    assert made.window == 2 * 4096


def test_a_window_that_is_given_stays() -> None:
    made = replica(500)
    made.learn(Said(9, 0.9, 4096))
    assert made.window == 500


def test_a_small_engine_has_a_small_window() -> None:
    """A floor for all engines made a window of 128 tokens grow to 1,024 when it should have shrunk."""
    made = replica()
    made.learn(Said(0, 0.0, 128))
    made.learn(Said(2, 0.5, 128))
    assert made.window < 128 < LEAST


def test_what_is_larger_than_the_window_goes_alone() -> None:
    made = replica(100)
    assert made.fits(1000)
    made.take(1000)
    assert not made.fits(1)


def test_metrics_of_engines() -> None:
    vllm = (
        'vllm:num_requests_waiting{engine="0",model_name="m"} 2.0\nvllm:num_requests_waiting{engine="1"} 1.0\n'
        'vllm:kv_cache_usage_perc{engine="0"} 0.25\n'
        'vllm:cache_config_info{block_size="16",cache_dtype="auto",num_gpu_blocks="128"} 1.0\n'
    )
    assert understand(vllm) == Said(3, 0.25, 2048)
    sglang = "sglang:num_queue_reqs 1\nsglang:token_usage 0.5\nsglang:max_total_num_tokens 1000\n"
    assert understand(sglang) == Said(1, 0.5, 1000)
    assert understand("http_requests_total 3\n") is None


# ---------------------------------------------------------------- shared counters

NAMES = ("ann", "ben")


class Gateway:
    """A service with shared counters, without listeners and without a store."""

    def __init__(self) -> None:
        config = Config(tenants={name: Tenant() for name in NAMES})
        self.service = Service(config, Path.cwd(), bound=1 << 60, running=tuple)
        self.shared = Shared(self.service)
        self.shared.attach(self.service.queues.chooser)
        self.written: Numbers = {"charged": {}, "lift": {}}

    def serve(self, name: str, tokens: int) -> None:
        """One request, from its arrival to its end."""
        client = self.service.tenants.number_of(name)
        self.service.queues.add(Held(client, tokens))
        self.service.queues.finish(self.service.queues.pop())

    def write(self) -> None:
        for part, values in self.shared.own().items():
            self.written[part].update(values)

    def counters(self) -> list[int]:
        return [self.service.counter_of(self.service.tenants.number_of(name)) for name in NAMES]


def settle(*gateways: Gateway) -> None:
    """Rounds, until nothing is new."""
    for _ in range(3):
        for one in gateways:
            one.write()
            one.shared.merge({str(id(g)): g.written for g in gateways if g is not one})


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from([*NAMES, "round"]), st.integers(1, 50)), max_size=40
    )
)
def test_whatever_happens_where_both_agree_in_the_end(steps: list[tuple[str, str, int]]) -> None:
    gateways = {"a": Gateway(), "b": Gateway()}
    total = 0
    for where, what, tokens in steps:
        one = gateways[where]
        if what == "round":
            one.write()
            one.shared.merge({key: g.written for key, g in gateways.items() if g is not one})
        else:
            one.serve(what, tokens)
            total += tokens
    settle(*gateways.values())
    assert gateways["a"].counters() == gateways["b"].counters()
    assert sum(gateways["a"].counters()) >= 1_000_000 * total, "no charge is lost"


def test_a_tenant_that_two_gateways_lift_is_lifted_once() -> None:
    a, b = Gateway(), Gateway()
    a.serve("ann", 100)
    settle(a, b)
    a.serve("ben", 1)
    b.serve("ben", 1)
    settle(a, b)
    # ben comes from nothing: each gateway lifts him to ann's 100, and charges 1.  What the other one charged since the
    # last round counts as before the lift, which is part of the lag that the bound has room for.
    ann, ben = a.counters()
    assert ann == 100_000_000
    assert 101_000_000 <= ben <= 102_000_000


def test_what_others_charged_before_a_lift_is_not_added_to_it() -> None:
    """Adding it made a tenant that was lifted often, between rounds, ever more expensive."""
    a, b = Gateway(), Gateway()
    a.serve("ann", 100)
    settle(a, b)
    a.serve("ben", 60)  # lifted to 100 at a, then 160; b has not heard of it
    b.serve("ben", 1)  # lifted to 100 at b as well
    settle(a, b)
    assert a.counters() == b.counters()
    assert a.counters()[1] <= 161_000_000


# ---------------------------------------------------------------- expectations


def test_expectations_are_bounded_and_forget_the_oldest() -> None:
    expected = Expectation(most=3)
    for client in ("a", "b", "c"):
        expected.learn(client, 100)
    expected.learn("a", 200)
    assert expected.of("a") == (100 * 4 + 200) // 5
    expected.learn("d", 7)
    assert set(expected.known) == {"c", "a", "d"}
    assert expected.of("b") == expected.first


def test_what_an_engine_cannot_have_used_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    replica = Replica(Upstream("http://127.0.0.1:1"), Limits(), 1)
    replica.used(8, 8, odd=False)
    replica.used(None, 8, odd=False)
    assert (replica.odd_usage, caplog.messages) == (0, [])
    replica.used(9, 8, odd=False)
    replica.used(None, 8, odd=True)
    assert replica.odd_usage == 2
    (said,) = caplog.messages
    assert "9 tokens where 8 were asked for" in said


# ---------------------------------------------------------------- one write an answer


class Wire:
    """A transport that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.told.append(data)

    def close(self) -> None:
        self.told.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.told


def test_what_is_written_in_one_turn_leaves_in_one_piece() -> None:
    async def written() -> list[bytes | str]:
        wire: Any = Wire()
        corked = Corked(wire, asyncio.get_running_loop())
        corked.write(b"head, ")
        corked.write(b"body")
        await asyncio.sleep(0)
        corked.write(b"more")
        await asyncio.sleep(0)
        corked.write(b"the ")
        corked.write(b"end")
        corked.close()
        corked.write(b"to nobody")
        await asyncio.sleep(0)
        assert corked.is_closing()
        told: list[bytes | str] = wire.told
        return told

    assert asyncio.run(written()) == [b"head, body", b"more", b"the end", "closed"]


# ---------------------------------------------------------------- who does not read


def test_who_does_not_read_is_not_waited_for_when_the_answer_breaks_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "TELL_S", 0.01)
    told: list[Any] = []

    async def send(message: Any) -> None:
        told.append(message["body"])
        await asyncio.Event().wait()  # its buffers are full

    async def broken() -> None:
        reply = Reply(send)
        reply.begun = reply.streams = True
        nothing: Any = None
        await relay.Relay(nothing)._broken(nothing, reply, 504, "too long")

    asyncio.run(broken())
    assert len(told) == 1 and b"too long" in told[0]


def test_a_task_whose_cancellation_was_lost_is_cancelled_again() -> None:
    """As `asyncio.wait_for` within redis may lose it: the gateway would go on for ever."""
    seen = 0

    async def rounds() -> None:
        nonlocal seen
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                seen += 1
                if seen == 2:
                    raise

    async def goes_down() -> bool:
        task = asyncio.ensure_future(rounds())
        await asyncio.sleep(0)
        await cancelled([task])
        return task.cancelled()

    assert asyncio.run(asyncio.wait_for(goes_down(), 10))
    assert seen == 2


def test_a_mistake_beside_serving_is_logged_at_once_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done: list[str] = []

    async def work() -> None:
        done.append("again")
        if len(done) in (2, 3, 5):
            raise ValueError("as told")

    async def some() -> None:
        task = asyncio.ensure_future(regularly("work", work, 0.001))
        while len(done) < 7:
            await asyncio.sleep(0.001)
        await cancelled([task])

    asyncio.run(some())
    assert [record.exc_info is not None for record in caplog.records] == [True, True], "one for each in a row"
    assert "work" in caplog.messages[0]


@pytest.mark.parametrize("odd", ["NaN", "+Inf", "many", "-1", "1e300"])
def test_metrics_that_are_no_numbers_are_not_believed(odd: str) -> None:
    text = "sglang:num_queue_reqs {}\nsglang:token_usage 0.5\nsglang:max_total_num_tokens {}\n"
    assert understand(text.format(1, odd)) == Said(1, 0.5, None)
    assert odd[0] in "-1" or understand(text.format(odd, 64)) is None


@pytest.mark.parametrize("blocks", ["\u00b2", "9" * 5000, "-4", "", "0"])
def test_a_memory_that_cannot_be_is_not_believed(blocks: str) -> None:
    text = "vllm:num_requests_waiting 1\nvllm:kv_cache_usage_perc 0.5\n"
    text += f'vllm:cache_config_info{{block_size="16",num_gpu_blocks="{blocks}"}} 1.0\n'
    assert understand(text) == Said(1, 0.5, None)


def test_a_store_that_nests_its_answers_without_end_is_lost_for_now(caplog: pytest.LogCaptureFixture) -> None:
    """Its client library then raises RecursionError, which must not end the gateway."""

    class Nested:
        def __getattr__(self, name: str) -> Any:
            async def call(*given: Any, **named: Any) -> Any:
                if name != "aclose":
                    raise RecursionError("maximum recursion depth exceeded")

            return self.pipeline if name == "pipeline" else call

        def pipeline(self, transaction: bool) -> Any:
            raise RecursionError("maximum recursion depth exceeded")

    shared = Shared(Service(Config(), Path(), bound=1 << 60, running=lambda: (), known=[]))
    store = Valkey("redis://127.0.0.1:1", "default", "one", shared, 1.0)
    store._store = Nested()

    assert shared.lost_since is None

    async def main() -> None:
        await store.begin()
        await store.round()
        await store.close()

    asyncio.run(main())
    assert "counters are not shared at the moment: maximum recursion" in caplog.text
    assert shared.lost_since is not None and shared.lost_because == "maximum recursion depth exceeded"
    assert "the last counters could not be shared" in caplog.text
