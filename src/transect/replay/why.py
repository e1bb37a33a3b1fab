# SPDX-License-Identifier: Apache-2.0
"""The decisions that one request met, from the log of each layer: each log is played again up to them, watched.

What is shown is what the policy did with the recorded inputs, and each decision says whether it came out as recorded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from transect.core.codec import CodecError
from transect.core.ir import Program
from transect.replay.compare import Comparing, Decoder, Differs, Outcome, Played
from transect.replay.log import Log, LogError, Naming, Policy, Record
from transect.replay.queues import QueueDecoder
from transect.replay.watched import Change, Line, NameOf, Snapshot, Value, Watch, WatchedInstance

KNOWING = ("rpc", "llm")  # strata whose calls are about requests; of others no log names one
CHOICES = 20  # of others who went first that are shown one by one: the last ones
ADMITS = ("admit", "charge")  # the first of these about a request says that its turn has come


@dataclass(frozen=True, slots=True)
class Decision:
    """One handler call."""

    policy: str
    version: int
    hook: str
    sequence: int  # of the call, within its policy's
    time: int | None  # Unix time in ns; None: the log does not say it
    client: str  # whom it is about, where the layer knows clients
    verdict: str
    lines: tuple[Line, ...]
    changes: tuple[Change, ...]
    differs: str  # why it does not come out as recorded; empty: it does


@dataclass(frozen=True, slots=True)
class First:
    """Somebody whose turn came before the request's, while it waited."""

    client: str
    time: int | None
    choice: tuple[Value, ...]  # what the policy chose by


@dataclass(frozen=True, slots=True)
class Layer:
    """What one log says of one request."""

    name: str
    stratum: str
    real: bool
    ids: tuple[str, ...]
    came: int  # Unix time in ns
    decisions: tuple[Decision, ...]
    waited: bool  # it was in a queue, and its turn came, or had not come when the log ended
    went_first: Mapping[str, int]  # turns of each client while it waited
    first: tuple[First, ...]  # the last of them
    open: tuple[str, ...]  # why something could not be explained

    @property
    def explained(self) -> bool:
        """Whether every decision is there, and came out as recorded."""
        return not self.open and not any(d.differs for d in self.decisions)


def why(log: Log, decoder: Decoder, asked: str) -> list[Layer]:
    """What the log says of each request of that id, in the order in which they came; none: it names none."""
    return explained(log, decoder, [naming for naming in log.names if asked in naming.named.ids])


def explained(log: Log, decoder: Decoder, names: Iterable[Naming]) -> list[Layer]:
    """What the log says of these requests.  It is played once for all of them.  Raises `LogError`."""
    asked = list(names)
    if asked and log.header.stratum not in KNOWING:
        raise LogError(f"the log is of {log.header.stratum}, which knows no requests, and names one")
    try:
        return _explained(log, decoder, asked)
    except CodecError as error:
        raise LogError(f"a call about a request cannot be read: {error}") from error


def _explained(log: Log, decoder: Decoder, names: Iterable[Naming]) -> list[Layer]:
    calls = _Calls(log)
    asked = [_Asked(calls, decoder, naming) for naming in names]
    explaining = _Explaining(log, decoder, (_key(record) for one in asked for record in one.wanted))
    explaining.compare(None)
    return [explaining.layer(one) for one in asked]


Key = tuple[int, int]


def _key(record: Record) -> Key:
    """Policy and number: some layers number the calls of each policy by themselves."""
    return record.policy, record.sequence


def _choice(decision: Decision) -> tuple[Value, ...]:
    """What a pick was decided by: what it read of the state."""
    seen = dict.fromkeys(value for line in decision.lines for value in line.values)
    return tuple(value for value in seen if value.what != "self.waiting") or tuple(seen)


@dataclass(frozen=True, slots=True)
class _Turn:
    """The first call that says that a request's turn has come."""

    record: Record
    pick: Record | None  # the last one before


class _Calls:
    """The calls of a log by what they are about, found once for all requests that are asked for."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.about: dict[int, list[Record]] = defaultdict(list)  # in the order in which they were written
        for record in log.records:
            self.about[record.instance].append(record)
        self.turns = list(self._turns())
        self._numbers = [turn.record.sequence for turn in self.turns]

    def hook(self, record: Record) -> str:
        return self.log.policies[record.policy].hooks[record.hook]

    def is_default(self, record: Record) -> bool:
        """Whether the policy leaves that hook as it is."""
        handler = self.log.policies[record.policy].program.handler(self.hook(record))
        return handler is None or handler.default

    def turns_from(self, sequence: int) -> Sequence[_Turn]:
        """Those that came at this call or later."""
        return self.turns[bisect_left(self._numbers, sequence) :]

    def _turns(self) -> Iterator[_Turn]:
        """In the order of the calls' numbers."""
        pick: Record | None = None
        seen: set[int] = set()
        for record in sorted(self.log.records, key=lambda record: record.sequence):
            hook = self.hook(record)
            if hook == "pick":
                pick = record
            if hook in ADMITS and record.instance > 0 and record.instance not in seen:
                seen.add(record.instance)
                yield _Turn(record, pick)


@dataclass
class _Asked:
    """Which calls of the log are of one request, or of those who went before it."""

    calls: _Calls
    decoder: Decoder
    naming: Naming
    open: list[str] = field(default_factory=list)
    went_first: dict[str, int] = field(default_factory=dict)
    before: list[Record] = field(default_factory=list)  # picks of others, the last ones

    def __post_init__(self) -> None:
        self.log = self.calls.log
        self.queue = self.decoder if isinstance(self.decoder, QueueDecoder) else None
        about = self.calls.about.get(self.naming.instance, ())
        self.own = [record for record in about if not self.calls.is_default(record)]
        if self.queue is not None:
            self._wait(self.queue)
        if not self.own and not self.open:
            self.open.append("the log ended before anything was decided about it")

    @property
    def wanted(self) -> Iterator[Record]:
        yield from self.own
        yield from self.before

    def differs(self, decisions: Mapping[Key, Decision]) -> bool:
        """Whether one of them did not come out as recorded."""
        return any(decisions[_key(record)].differs for record in self.wanted if _key(record) in decisions)

    # ---------------------------------------------------------------- in a queue

    def _wait(self, queue: QueueDecoder) -> None:
        """Find its turn, and those who had theirs while it waited."""
        came = self.naming.sequence
        for turn in self.calls.turns_from(came):
            pick = turn.pick if turn.pick is not None and turn.pick.sequence >= came else None
            if turn.record.instance == self.naming.instance:
                self._chosen_by(pick)
                return
            self._goes_first(queue, turn.record, pick)
        if not self._refused():
            self.open.append(self._without_turn())

    def _refused(self) -> bool:
        """Whether the policy turned it away at once."""
        return any(
            self.calls.hook(record) == "accept" and self._words(record).startswith("Refuse")
            for record in self.own
        )

    def _words(self, record: Record) -> str:
        program = self.log.policies[record.policy].program
        return self.decoder.words(program, self.calls.hook(record), record.result)

    def _without_turn(self) -> str:
        hears = any(hook in ADMITS for policy in self.log.policies for hook in policy.hooks)
        if hears:
            return "it left, or the log ended, before its turn came"
        return "its policy hears of no single request: it has neither `admit` nor `charge`"

    def _chosen_by(self, pick: Record | None) -> None:
        """Its own calls, with the one that chose it."""
        if pick is not None:
            self.own = sorted([*self.own, pick], key=lambda r: r.sequence)

    def _goes_first(self, queue: QueueDecoder, record: Record, pick: Record | None) -> None:
        client = queue.client_of(self.log.policies[record.policy].program, self.calls.hook(record), record)
        self.went_first[client] = self.went_first.get(client, 0) + 1
        if pick is not None:
            self.before = [*self.before, pick][-CHOICES:]


class _Explaining(Comparing):
    """Plays a log, and watches the calls that are wanted."""

    def __init__(self, log: Log, decoder: Decoder, wanted: Iterable[Key]) -> None:
        super().__init__(log, decoder, WatchedInstance)
        self.open = []  # what a log lacks behind the calls that are asked for is no matter
        self.wanted = frozenset(wanted)
        self.last: dict[int, int] = {}  # call that is wanted, by policy
        for policy, sequence in self.wanted:
            self.last[policy] = max(sequence, self.last.get(policy, 0))
        self.decisions: dict[Key, Decision] = {}
        self.name_of: NameOf = decoder.name_of if isinstance(decoder, QueueDecoder) else str

    def layer(self, asked: _Asked) -> Layer:
        """What was found of one request."""
        header, naming = self.log.header, asked.naming
        lacking = [record for record in asked.wanted if _key(record) not in self.decisions]
        return Layer(
            header.name,
            header.stratum,
            header.real,
            naming.named.ids,
            naming.time,
            tuple(self.found(asked.own)),
            asked.queue is not None and bool(asked.own),
            asked.went_first,
            tuple(First(d.client, d.time, _choice(d)) for d in self.found(asked.before)),
            (*(self.open if lacking or asked.differs(self.decisions) else ()), *asked.open),
        )

    def found(self, records: Iterable[Record]) -> Iterator[Decision]:
        return (self.decisions[_key(record)] for record in records if _key(record) in self.decisions)

    def records(self, number: int) -> list[Record]:
        return [record for record in super().records(number) if record.sequence <= self.last[number]]

    def policy(self, number: int, policy: Policy, other: Program | None) -> None:
        if number not in self.last:
            return
        try:
            super().policy(number, policy, other)
        except Differs as found:
            at = "at the end" if found.record is None else f"at call {found.record.sequence}"
            self.open.append(f"{policy.name} leaves the recording {at}: {found.diagnostic.message}")

    def end(self, number: int, played: Played) -> None:
        """The state at the end is `replay`'s matter."""

    def run(self, played: Played, hook: str, record: Record) -> Outcome:
        if _key(record) not in self.wanted:
            return super().run(played, hook, record)
        runner = played.runner
        assert isinstance(runner, WatchedInstance), "it was made here"
        kept = played.locals.setdefault(record.instance, {})
        before = Snapshot(played.program, self.name_of).take(hook, runner, kept)
        watch = runner.watch = Watch(played.policy.sources, self.name_of)
        try:
            outcome = super().run(played, hook, record)
        finally:
            runner.watch = None
        after = Snapshot(played.program, self.name_of).take(hook, runner, kept)
        self.decisions[_key(record)] = self.decision(
            played, hook, record, outcome, watch, before.changes(after)
        )
        return outcome

    def decision(
        self,
        played: Played,
        hook: str,
        record: Record,
        outcome: Outcome,
        watch: Watch,
        changes: tuple[Change, ...],
    ) -> Decision:
        now = self.words(played.program, hook, outcome.result)
        same = outcome.result == record.result
        queue = self.decoder if isinstance(self.decoder, QueueDecoder) else None
        return Decision(
            played.policy.name,
            played.policy.version,
            hook,
            record.sequence,
            None if queue is None else queue.time(record),
            "" if queue is None else queue.client_of(played.program, hook, record),
            now,
            watch.lines(),
            changes,
            "" if same else f"{self.words(played.program, hook, record.result)} was recorded",
        )
