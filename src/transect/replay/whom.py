# SPDX-License-Identifier: Apache-2.0
"""For whom another version decides otherwise: the calls of a log, counted as they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TypedDict

from transect.control.answers import OTHERS, Otherwise
from transect.core.codec import CodecError
from transect.core.ir import Program
from transect.replay.beside import Asked, NotDecided, Original, Other, Outcome, Version
from transect.replay.compare import Teller
from transect.replay.log import Policy, Record

SHOWN = 5  # differences that are shown, the first ones
KEPT = 64  # of those for whom something comes out otherwise, counted each; the rest as one
LONGEST = 200  # characters of what is shown of an outcome
NOTHING = {"None", "none", "", "Forward()"}  # what a hook says that a version does not have


class Compared(TypedDict):
    """A tally as plain values."""

    compared: int
    otherwise: int
    skipped: dict[str, int]
    whom: dict[str, int]
    first: list[Otherwise]


@dataclass
class Tally:
    """What has been compared."""

    compared: int = 0
    otherwise: int = 0
    skipped: Counter[str] = field(default_factory=Counter)  # by reason
    whom: Counter[str] = field(default_factory=Counter)
    first: list[Otherwise] = field(default_factory=list)

    def skip(self, why: str, calls: int = 1) -> None:
        why = why[:LONGEST]
        self.skipped[why if why in self.skipped or len(self.skipped) < KEPT else OTHERS] += calls

    def differs(self, row: Otherwise) -> None:
        self.otherwise += 1
        self.whom[row["who"] if row["who"] in self.whom or len(self.whom) < KEPT else OTHERS] += 1
        if len(self.first) < SHOWN:
            self.first.append(row)

    def plain(self) -> Compared:
        return {
            "compared": self.compared,
            "otherwise": self.otherwise,
            "skipped": dict(self.skipped.most_common()),
            "whom": dict(self.whom.most_common()),
            "first": self.first,
        }


@dataclass(slots=True)
class _Pair:
    """A recorded policy, and the versions that decide beside it."""

    policy: Policy
    original: Original
    before: Other | None  # that which is compared; None: the recorded one
    after: Other


class Beside:
    """Versions beside a recorded one."""

    def __init__(
        self,
        decoder: Teller,
        after: Sequence[Version],
        before: Sequence[Version] | None = None,
        *,
        clock: Callable[[], int] | None = None,
        bound: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        """`after` against `before`, or against what was recorded.  `clock`: of a version that asks for the time, or
        draws, where the recorded one does not; None: it may not.  `bound`: around what another version does."""
        self._decoder = decoder
        self._after = _Named(after)
        self._before = None if before is None else _Named(before)
        self._clock = clock
        self._bound = bound
        self._pairs: dict[int, _Pair | None] = {}
        self.tally = Tally()

    @property
    def paired(self) -> bool:
        """Whether any recorded policy has another version beside it."""
        return any(self._pairs.values())

    def policy(self, policy: Policy) -> None:
        """The next one of the log.  Raises `Refused`, `CodecError`, `LogError`."""
        number = len(self._pairs)
        after = self._after.take(policy)
        before = None if self._before is None else self._before.take(policy)
        if after is None or (self._before is not None and before is None):
            self._pairs[number] = None
            return
        self._pairs[number] = _Pair(
            policy,
            Original(policy.program, policy.start),
            None if before is None else before.begun(policy, self._clock),
            after.begun(policy, self._clock),
        )

    def call(self, record: Record) -> None:
        """The next one of the log.  Raises `OutOfStep`."""
        pair = self._pairs[record.policy]
        if pair is None:
            self.tally.skip("its policy is in one version alone")
            return
        hook = pair.policy.hooks[record.hook]
        was, asked, known = pair.original.again(self._decoder, hook, record)
        try:
            if pair.before is not None:
                was = self._decided(pair.before, hook, record, asked)
            now = self._decided(pair.after, hook, record, asked)
        except NotDecided as why:
            self.tally.skip(str(why))
            return
        if not known:
            self.tally.skip("it began before")
        elif was.decides or now.decides:
            self._compare(pair, hook, record, was, now, asked)

    def _decided(self, version: Other, hook: str, record: Record, asked: Asked) -> Outcome:
        """Raises `NotDecided`."""
        if version.program.handler(hook) is None:
            return Outcome(b"")
        with self._bound():
            return version.decided(self._decoder, hook, record, asked)

    def _compare(
        self, pair: _Pair, hook: str, record: Record, was: Outcome, now: Outcome, asked: Asked
    ) -> None:
        self.tally.compared += 1
        if was == now:
            return
        before = pair.original if pair.before is None else pair.before
        words = [self._words(side.program, hook, made) for side, made in ((before, was), (pair.after, now))]
        if not (was.result and now.result) and set(words) <= NOTHING:
            return  # one of them has no such hook, and the other does nothing in it
        who, about = self._decoder.whose(pair.original.program, hook, record, asked.answers)
        self.tally.differs(
            {
                "who": who[:LONGEST],
                "about": about,
                "hook": f"{pair.policy.name}.{hook}",
                "was": words[0],
                "now": words[1],
            }
        )

    def _words(self, program: Program, hook: str, made: Outcome) -> str:
        did = [f"{function.rpartition('.')[2]}{args}" for function, args in made.did]
        if made.result:
            try:
                did.insert(0, self._decoder.words(program, hook, made.result))
            except CodecError as error:
                did.insert(0, f"no result ({error})")
        return ", ".join(did)[:LONGEST] or "None"


class _Named:
    """Policies of a version, taken by name; of several with one name, in their order."""

    def __init__(self, versions: Sequence[Version]) -> None:
        self._left = list(versions)

    def take(self, policy: Policy) -> Version | None:
        """The one that stands for a recorded policy; None: the version has none."""
        found = next((v for v in self._left if policy.name in (v.stands_for, v.program.name)), None)
        if found is not None:
            self._left.remove(found)
        return found
