# SPDX-License-Identifier: Apache-2.0
"""What is proved of policies for `docs/fairness.md`, and the traces on which others fail."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from transect.analysis.solve import SECOND
from transect.base.shipped import path_of
from transect.cli.app import run
from transect.cli.exits import Exit
from transect.llm.lemma import traces
from transect.llm.lemma.claims import Claim, Part, Steps, Verdict, claims
from transect.llm.lemma.traces import with_traces
from transect.llm.policies import load

pytestmark = pytest.mark.needs("z3")
PATIENCE = 30.0  # seconds for one question

FIXED = """\
from transect.llm import Request
from .vtc import INPUT, OUTPUT, Vtc


class Fixed(Vtc):
    def admit(self, request: Request) -> None:
        self.served[request.client] += 128 * OUTPUT

    def charge(self, request: Request, prompt: int, output: int) -> None:
        self.served[request.client] += INPUT * prompt
"""
TRUSTING = """\
from transect.llm import Request
from .vtc_hint import HintedVtc


class Trusting(HintedVtc):
    def admit(self, request: Request) -> None:
        self.ahead = request.limit
        self.served[request.client] += self._price(request, self.ahead)
"""
FORGETFUL = """\
from transect.llm import Client
from .vtc import Vtc


class Forgetful(Vtc):
    def leave(self, client: Client) -> None:
        self.served[client] = 0
"""


REFUSING = """\
from transect.lang import Tally, rand, rand_below, tally
from transect.llm import Admission, Client, Queue, Refuse, Request, Verdict


class Refusing(Admission):
    served: Tally[Client, int] = tally(64)

    def accept(self, request: Request) -> Verdict:
        return Refuse("bad luck") if BAD_LUCK else Queue()

    def pick(self) -> Client:
        return min(self.waiting, key=self.served.get)

    def charge(self, request: Request, prompt: int, output: int) -> None:
        self.served[request.client] += prompt + rand_below(3)
"""
CHEAPER = """\
from transect.llm import Request
from .vtc import INPUT, OUTPUT, Vtc


class Cheaper(Vtc):
    def charge(self, request: Request, prompt: int, output: int) -> None:
        now, before = min(request.produced, 64), min(request.produced - output, 64)
        self.served[request.client] += INPUT * prompt + OUTPUT * (now - before)
"""


def steps(policy: str) -> list[Claim]:
    loaded = load(policy)
    return with_traces(loaded, claims(loaded.program, PATIENCE))


def written(folder: Path, text: str) -> str:
    """A policy beside the examples that it stands on."""
    for name in ("vtc", "vtc_hint"):
        shutil.copy(path_of(name), folder)
    path = folder / "mine.py"
    path.write_text(text)
    return str(path)


EVERY = ["vtc", "fair_share", "vtc_hint", "foresight", "vtc_profiled", "foresight_profiled"]


@pytest.mark.parametrize("policy", EVERY)
def test_every_step_of_vtc_is_proved(policy: str) -> None:
    """Also with a deposit, and under a convex cost of the request."""
    found = steps(policy)
    assert {c.part for c in found} == set(Part)
    assert [c for c in found if c.verdict is not Verdict.PROVED or not c.rechecked] == []


@pytest.mark.parametrize("policy", ["fcfs", "lanes", "deficit", "prefix_fair", "hierarchical"])
def test_other_policies_delay_nobody_who_fits(policy: str) -> None:
    found = steps(policy)
    assert {(c.part, c.verdict, c.rechecked) for c in found} == {(Part.CONSERVATION, Verdict.PROVED, True)}


def broken(policy: str) -> Claim:
    (found,) = (c for c in steps(policy) if c.verdict is Verdict.BROKEN)
    return found


def test_without_the_lift_a_short_trace_goes_beyond_the_bound() -> None:
    found = broken("lcf")
    assert found.hook == "arrive" and "lifts a newcomer" in found.says
    assert "U is 128" in found.trace and len(found.trace.splitlines()) <= 13


def test_a_policy_that_refuses_is_shown_doing_so_on_an_idle_engine() -> None:
    found = broken("rpm")
    assert found.part is Part.CONSERVATION and found.hook == "accept"
    assert "request 21, at 20 s, is refused while the engine is idle" in found.trace


def test_a_fixed_estimate_that_is_never_corrected_lets_services_drift(tmp_path: Path) -> None:
    found = broken(written(tmp_path, FIXED))
    assert found.hook == "charge" and found.trace.count("weighted tokens apart") == 2


def test_charging_what_clients_say_goes_beyond_the_bound(tmp_path: Path) -> None:
    found = broken(written(tmp_path, TRUSTING))
    assert found.hook == "admit" and "within what is reserved" in found.says
    assert "waiting clients" in found.trace


def test_tokens_for_nothing_are_no_cost_of_a_request(tmp_path: Path) -> None:
    found = {c.hook: c.verdict for c in claims(load(written(tmp_path, CHEAPER)).program, 1.0)}
    assert found["charge"] is Verdict.UNKNOWN


def test_what_moves_a_counter_besides_is_not_proved(tmp_path: Path) -> None:
    path = written(tmp_path, FORGETFUL)
    verdicts = {(c.hook, c.says): c.verdict for c in claims(load(path).program, PATIENCE)}
    assert verdicts["leave", "moves no counter"] is Verdict.UNKNOWN
    assert verdicts["arrive", "lifts a newcomer to the least of those who wait"] is Verdict.PROVED


AHEAD = """
from typing import Final
from transect.lang import Local, Tally, local, tally
from transect.llm import Admission, Client, Request
INPUT: Final = 1_000_000
OUTPUT: Final = 2_000_000

class Mine(Admission):
    served: Tally[Client, int] = tally(16384)
    last: Client | None = None
    ahead: Local[int] = local(0)

    def arrive(self, request: Request) -> None:
        client = request.client
        if client in self.waiting:
            return
        level = min((self.served[c] for c in self.waiting), default=self._left())
        self.served[client] = max(self.served[client], level)

    def _left(self) -> int:
        return 0 if self.last is None else self.served[self.last]

    def pick(self) -> Client:
        return min(self.waiting, key=self.served.get)

    def admit(self, request: Request) -> None:
        self.ahead = max(0, min(request.hint, request.reserved))
        self.served[request.client] += OUTPUT * self.ahead

    def charge(self, request: Request, prompt: int, output: int) -> None:
        now, before = max(request.produced, self.ahead), max(request.produced - output, self.ahead)
        self.served[request.client] += INPUT * prompt + OUTPUT * (now - before)

    def finish(self, request: Request) -> None:
        self.served[request.client] -= OUTPUT * BACK

    def leave(self, client: Client) -> None:
        self.last = client
RETRACT"""
RETRACT = """
    def retract(self, request: Request) -> None:
        self.served[request.client] -= OUTPUT * self.ahead
        self.ahead = 0
"""
CHARGED_AT_THE_END = """\
from transect.llm import Request
from .vtc import INPUT, OUTPUT, Vtc

class AtCompletion(Vtc):
    def charge(self, request: Request, prompt: int, output: int) -> None:
        self.served[request.client] += INPUT * prompt

    def finish(self, request: Request) -> None:
        self.served[request.client] += OUTPUT * request.produced
"""
BY_TIME = """
from transect.lang import Instant, Map, as_int, now, table
from transect.llm import Admission, Client, Request

class ByTime(Admission):
    since: Map[Client, Instant] = table(64)
    least: Client | None = None
    first: int | None = None

    def head(self, request: Request) -> None:
        self.since[request.client] = now()
        self.least = request.client

    def pick(self) -> Client:
        CHOOSE

    def _score(self, client: Client) -> int:
        return 0 - as_int(now() - self.since[client]) if client in self.since else 0
"""
BY_HAND = """best: Client | None = None
        key: int | None = None
        for c in self.waiting:
            score = self._score(c)
            if key is None or score < key:
                key = score
                best = c
        if best is None and self.least is not None:
            return self.least
        return min(self.waiting, key=self._score) if best is None else best"""


def refuted(folder: Path, text: str) -> dict[str, Claim]:
    return {c.hook: c for c in steps(written(folder, text)) if c.verdict is Verdict.BROKEN}


def test_what_is_charged_at_the_end_alone_is_shown_call_by_call(tmp_path: Path) -> None:
    found = refuted(tmp_path, CHARGED_AT_THE_END)
    assert found.keys() == {"charge", "finish"}
    assert "it produces 8 tokens, one by one: counter 4\n`charge` takes nothing" in found["charge"].trace
    assert "it ends: counter 20\n`finish` charges 16" in found["finish"].trace


def test_a_refund_that_may_be_negative_is_shown_call_by_call(tmp_path: Path) -> None:
    text = AHEAD.replace("BACK", "(self.ahead - request.produced)")
    found = refuted(tmp_path, text.replace("RETRACT", ""))
    assert found.keys() == {"finish", "retract"}
    assert "`finish` charges 16, where it may only take back" in found["finish"].trace
    assert "`retract` leaves the counter +4 from where it stood" in found["retract"].trace
    assert refuted(tmp_path, text.replace("RETRACT", RETRACT)).keys() == {"finish"}


def test_no_calls_refute_the_refund_that_is_right(tmp_path: Path) -> None:
    text = AHEAD.replace("BACK", "max(0, self.ahead - request.produced)").replace("RETRACT", RETRACT)
    found = steps(written(tmp_path, text))
    assert Verdict.BROKEN not in {c.verdict for c in found}
    assert [c.verdict for c in found if c.hook == "finish"] == [Verdict.PROVED]


@pytest.mark.parametrize("bad_luck", ["request.input < 100", "rand() < 0.1", "rand() < 0.9"])
def test_a_policy_that_refuses_or_draws_is_shown_doing_so(tmp_path: Path, bad_luck: str) -> None:
    path = written(tmp_path, REFUSING.replace("BAD_LUCK", bad_luck))
    found = [steps(path) for _ in range(2)]
    assert [(c.verdict, c.trace) for c in found[0]] == [(c.verdict, c.trace) for c in found[1]]
    broken = {c.hook: c.trace for c in found[0] if c.verdict is Verdict.BROKEN}
    assert "is refused while the engine is idle" in broken["accept"]


def test_a_step_that_fails_without_a_run_that_shows_it_names_the_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "half.py"
    path.write_text(path_of("fair_share").read_text().replace("+= cost", "+= cost // 2"))
    assert run(["prove", str(path), "--no-recheck"]) == Exit.UNKNOWN
    out = capsys.readouterr().out
    said = re.search(
        r"unknown .* charge .*used\n +no run .*; the step fails from this state, which .*: (cost = \d+), "
        r"self.served\[client\] = -?\d+\n",
        out,
    )
    assert said is not None and said[1] != "cost = 0"


def picks(folder: Path, choose: str) -> Verdict:
    program = load(written(folder, BY_TIME.replace("CHOOSE", choose))).program
    (found,) = (c for c in claims(program, PATIENCE) if c.hook == "pick")
    return found.verdict


@pytest.mark.parametrize("choose", ["return min(self.waiting, key=self._score)", BY_HAND])
def test_a_key_that_reads_the_clock_still_picks_one_of_those_who_wait(tmp_path: Path, choose: str) -> None:
    assert picks(tmp_path, choose) is Verdict.PROVED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("key: int | None = None", "key: int | None = 0"),  # then the first need not be better
        ("best = c", "best = self.least"),
        ("if key is None or score < key", "if score < 0 and (key is None or score < key)"),
        ("if best is None and", "if"),
        (
            "score = self._score(c)",
            "score = self._score(c)\n            if score > 7:\n                continue",
        ),
    ],
)
def test_one_who_need_not_wait_is_not_proved_to(tmp_path: Path, old: str, new: str) -> None:
    assert old in BY_HAND
    assert picks(tmp_path, BY_HAND.replace(old, new)) is Verdict.UNKNOWN


def test_a_trace_that_the_interpreter_does_not_confirm_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "interpreted", lambda policy: load("vtc"))
    for name in ("lcf", "rpm"):
        assert Verdict.BROKEN not in {c.verdict for c in steps(name)}


def test_a_proof_that_no_second_one_confirms_does_not_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lifts = Steps.lifts
    monkeypatch.setattr(Steps, "lifts", lambda self: "lost" if self.asking is SECOND else lifts(self))
    assert run(["prove", str(path_of("vtc"))]) == Exit.UNKNOWN
    out = capsys.readouterr().out
    assert "11 of 12 proofs confirmed by a second one" in out and "tight:" not in out
    assert "lifts a newcomer to the least of those who wait: asked in another way, the solver did" in out
    assert run(["prove", str(path_of("vtc")), "--no-recheck"]) == Exit.DONE
    assert "second" not in capsys.readouterr().out


def test_the_command_prints_each_step_and_how_tight_the_bound_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["prove", str(path_of("vtc")), "--limit", str(PATIENCE)]) == Exit.DONE
    out = capsys.readouterr().out
    assert "Vtc in an LLM engine (docs/fairness.md)" in out and out.count("\n  proved") == 12
    assert "12 of 12 proofs confirmed by a second one" in out
    assert (
        "tight: a trace drives waiting clients 100,351 weighted tokens apart" in out
        and "5.0 times w_q·M" in out
    )
    assert run(["prove", written(tmp_path, TRUSTING), "--json", "--limit", str(PATIENCE)]) == Exit.NO
    (said,) = json.loads(capsys.readouterr().out)["llm"]
    assert said["tight"] is None and any(
        step["verdict"] == "broken" and step["trace"] for step in said["steps"]
    )
