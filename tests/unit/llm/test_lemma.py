# SPDX-License-Identifier: Apache-2.0
"""What is proved of policies for `docs/fairness.md`, and the traces on which others fail."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from transect.analysis.solve import SECOND
from transect.cli.app import run
from transect.cli.exits import Exit
from transect.examples import path_of
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
