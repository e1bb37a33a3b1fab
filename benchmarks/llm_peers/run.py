# SPDX-License-Identifier: Apache-2.0
"""Rules of public routers, re-implemented, on one workload: engines that know nothing of clients behind a gateway; one
client sends short answers often, the other long ones; both overload.  A fair rule gives both the same service.

| row | the rule |
|---|---|
| fcfs | what engines do by themselves (vLLM, SGLang, TGI, Ray Serve) |
| round robin | clients in turns, whatever they cost (flow control of llm-d) |
| modulo | a client's tokens modulo the number of engines (AIBrix vtc-basic) |
| fixed estimate | VTC that charges 128 output tokens and never corrects them (proposed for llm-d) |
| at completion | VTC that charges output when a request ends (proposed for Kthena) |
| decayed | attained service, halved every 60 s, charged at completion (another policy of llm-d) |
| local deficits | deficit round robin over prompt tokens, in each of two gateways alone (NVIDIA Dynamo) |
| token limit | so many tokens a minute, counted afterwards; more is refused (LiteLLM, Envoy AI Gateway, APISIX, Kong) |
| ours | VTC that charges the stream |

Deficits with the longest cached prefix (DLPM) are not among them: the simulator has no prefix caches.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import Control, Samples, begin, claim, report, result
from simulated import A10G, load

from transect.llm.simulator.clusters import behind_gateway, replicated, shares
from transect.llm.simulator.front import Account, modulo
from transect.llm.simulator.job import Job
from transect.llm.simulator.trace import Trace, in_order
from transect.llm.simulator.workloads import steady

ENGINES = 2
END = 300.0

DECAYED = '''
from transect.lang import Duration, Instant, Tally, Map, now, seconds, table, tally
from transect.llm import Admission, Client, Request


class Decayed(Admission):
    """Least attained service, halved every 60 s."""

    served: Tally[Client, int] = tally(64)
    last: Instant = 0

    def pick(self) -> Client:
        if now() - self.last >= seconds(60):
            self.last = now()
            for client in self.served:
                self.served[client] = self.served[client] // 2
        return min(self.waiting, key=self.served.get)

    def charge(self, request: Request, prompt: int, output: int) -> None:
        self.served[request.client] += prompt + 2 * output
'''

LOCAL = '''
from transect.lang import Tally, tally
from transect.llm import Admission, Client, Request


class LocalDeficit(Admission):
    """Least prompt tokens by weight: what deficit round robin over prompts comes to."""

    served: Tally[Client, int] = tally(64)

    def pick(self) -> Client:
        return min(self.waiting, key=self.served.get)

    def charge(self, request: Request, prompt: int, output: int) -> None:
        self.served[request.client] += prompt * 10000 // request.weight
'''


TURNS = '''
from transect.lang import Tally, tally
from transect.llm import Admission, Client, Request


class RoundRobin(Admission):
    """Whoever was served longest ago."""

    turn: Tally[Client, int] = tally(64)
    turns: int = 0

    def pick(self) -> Client:
        return min(self.waiting, key=self.turn.get)

    def admit(self, request: Request) -> None:
        self.turns += 1
        self.turn[request.client] = self.turns
'''

LIMITED = '''
from transect.lang import Instant, Map, Tally, now, seconds, table, tally
from transect.llm import Admission, Client, Queue, Refuse, Request, Verdict


class TokenLimit(Admission):
    """First come, first served, of clients below 12,000 tokens in this minute."""

    turn: Tally[Client, int] = tally(64)
    used: Tally[Client, int] = tally(64)
    since: Instant = 0

    def accept(self, request: Request) -> Verdict:
        if now() - self.since >= seconds(60):
            self.since = now()
            for client in self.used:
                self.used[client] = 0
        return Refuse("tokens of this minute") if self.used[request.client] >= 12000 else Queue()

    def head(self, request: Request) -> None:
        self.turn[request.client] = request.number

    def pick(self) -> Client:
        return min(self.waiting, key=self.turn.get)

    def charge(self, request: Request, prompt: int, output: int) -> None:
        self.used[request.client] += prompt + output
'''


def written(text: str) -> str:
    folder = Path(tempfile.mkdtemp())
    (folder / "rule.py").write_text(text)
    return str(folder / "rule.py")


def trace() -> Trace:
    arrivals = [*steady("short", 10.0, (128, 64), end=END), *steady("long", 5.0, (128, 256), end=END)]
    return Trace("short and long", in_order(arrivals))


def weighted() -> Trace:
    """Weights 4 : 1, equal requests; each client talks mostly to a gateway of its own."""
    arrivals = [*steady("heavy", 14.0, (128, 128), end=END), *steady("light", 14.0, (128, 128), end=END)]
    return Trace("4 : 1", in_order(arrivals), {"heavy": 400})


def ratio(jobs: list[Job], a: str = "short", b: str = "long") -> float:
    got = shares(jobs, 30.0, END)
    return got[a] / got[b]


def sides(job: Job) -> tuple[int, ...]:
    return (0,) if job.client == "heavy" else (1,)


def main() -> None:
    vtc, fcfs = load("vtc"), load("fcfs")
    decayed, local = load(written(DECAYED)), load(written(LOCAL))
    turns, limited = load(written(TURNS)), load(written(LIMITED))
    both = {"engines": ENGINES}
    ours = behind_gateway(vtc, trace(), A10G, **both)
    capped = behind_gateway(limited, trace(), A10G, **both, account=Account.END)
    rows = {
        "fcfs": ratio(behind_gateway(fcfs, trace(), A10G, **both)),
        "round robin": ratio(behind_gateway(turns, trace(), A10G, **both)),
        "modulo": ratio(replicated(fcfs, trace(), A10G, **both, route=modulo(ENGINES), period=None)),
        "fixed estimate": ratio(behind_gateway(vtc, trace(), A10G, **both, account=Account.FIXED)),
        "at completion": ratio(behind_gateway(vtc, trace(), A10G, **both, account=Account.END)),
        "decayed": ratio(behind_gateway(decayed, trace(), A10G, **both, account=Account.END)),
        "token limit": ratio(capped),
        "ours": ratio(ours),
    }
    four_to_one = {
        "local deficits": ratio(
            replicated(local, weighted(), A10G, **both, route=sides, period=None), "heavy", "light"
        ),
        "ours, counters exchanged": ratio(
            replicated(load("vtc_weighted"), weighted(), A10G, **both, period=0.25), "heavy", "light"
        ),
    }
    samples = Samples()
    samples.add("ours", abs(rows["ours"] - 1))
    controls = [Control("a fixed estimate, never corrected", abs(rows["fixed estimate"] - 1) > 0.05)]
    report(
        result(
            claim(__file__),
            samples,
            controls,
            service_ratio_short_to_long=rows,
            service_ratio_of_weights_4_to_1=four_to_one,
            token_limit={
                "refused": sum(job.refused for job in capped) / len(capped),
                "service, of ours": sum(shares(capped, 30.0, END).values())
                / sum(shares(ours, 30.0, END).values()),
            },
            conditions="simulated; two engines, window = their memory; services from 30 s to 300 s",
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
