# SPDX-License-Identifier: Apache-2.0
"""Who asks for what, and when.  Sizes in tokens, times in seconds since the beginning."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from transect.base.bounded import is_file, whole
from transect.base.diagnostic import closest
from transect.base.unavailable import Unavailable
from transect.llm.request import ORDINARY
from transect.llm.simulator.job import Job

DATA = Path(__file__).parents[1] / "data"
LARGEST = 256 << 20  # bytes of a file: five million requests
COLUMNS = ("arrival_s", "client", "input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Arrival:
    at: float
    client: str
    input: int
    output: int


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrivals in order of time."""

    name: str
    arrivals: tuple[Arrival, ...]
    weights: Mapping[str, int] = field(
        default_factory=dict
    )  # percent, of clients whose weight is not the ordinary one

    @property
    def clients(self) -> list[str]:
        return sorted({a.client for a in self.arrivals}, key=_natural)

    def jobs(
        self,
        longest_output: int,
        *,
        prompt_extra: int = 0,
        booked: Callable[[Arrival], int] | None = None,
        hint: Callable[[Arrival], int] | None = None,
        asked: Callable[[Arrival], int] | None = None,
    ) -> list[Job]:
        """Fresh requests, which ask for at most `longest_output` tokens, or for what `asked` says.

        `prompt_extra`: tokens that the engine adds to each prompt.  `booked`: what admission reserves for the output;
        without it, the true output, as in the published engine, whose clients ask for exactly that length.  A policy
        does not see it, since it would give the true length away.  `hint`: a forecast that a policy sees.
        """
        return [
            Job(
                client=a.client,
                input=a.input,
                prompt=a.input + prompt_extra,
                limit=longest_output if asked is None else asked(a),
                reserved=longest_output,
                hint=0 if hint is None else hint(a),
                weight=self.weights.get(a.client, ORDINARY),
                number=number,
                arrival=a.at,
                output=a.output,
                booked=a.output if booked is None else booked(a),
            )
            for number, a in enumerate(self.arrivals)
        ]


def _natural(client: str) -> tuple[int, str]:
    return (int(client), "") if client.isdigit() else (1 << 30, client)


def in_order(arrivals: Iterable[Arrival]) -> tuple[Arrival, ...]:
    return tuple(sorted(arrivals, key=lambda a: a.at))


def read(name: str) -> Trace:
    """A trace from a CSV file with the columns of `COLUMNS` (it may have more), or one of those in `llm/data` by name.

    Raises `Unavailable` for a file that does not exist, and `ValueError` for one that is no trace, with its line.
    """
    path = Path(name) if name.endswith(".csv") else DATA / f"{name}.csv"
    if not is_file(path):
        known = traces()
        near = closest(name, known)
        hint = f"did you mean `{near}`?" if near else f"a CSV file, or one of: {', '.join(known)}"
        raise Unavailable(f"the trace {name}", "there is no such file", hint)
    try:
        rows = csv.DictReader(io.StringIO(whole(path, LARGEST).decode(), newline=""))
        missing = [c for c in COLUMNS if c not in (rows.fieldnames or ())]
        if missing:
            raise ValueError(
                f"{path}: a trace has the columns {', '.join(COLUMNS)}; {', '.join(missing)} is missing"
            )
        arrivals = [_arrival(row, f"{path}:{number}") for number, row in enumerate(rows, 2)]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text") from error
    except (OSError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    return Trace(path.stem, in_order(arrivals))


def _arrival(row: Mapping[str, str], at: str) -> Arrival:
    try:
        found = Arrival(
            float(row["arrival_s"]), row["client"], int(row["input_tokens"]), int(row["output_tokens"])
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{at}: {error}") from None
    if not (0 <= found.at < 1e9 and found.input >= 1 and found.output >= 1):
        raise ValueError(f"{at}: times are not negative, and a request has a token at least in and out")
    return found


def traces() -> list[str]:
    """The names of the recorded traces that come with transect."""
    return sorted(p.stem for p in DATA.glob("*.csv"))


def published(name: str) -> list[Job]:
    """The requests of a published run, with the times that were measured."""
    jobs = read(name).jobs(longest_output=1024)
    with (DATA / f"{name}.csv").open(newline="") as file:
        rows: Sequence[Mapping[str, str]] = sorted(csv.DictReader(file), key=lambda r: float(r["arrival_s"]))
    for job, row in zip(jobs, rows, strict=True):
        job.first = job.arrival + float(row["first_token_latency_s"])
        job.done = job.arrival + float(row["latency_s"])
    return jobs
