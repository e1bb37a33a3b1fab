# SPDX-License-Identifier: Apache-2.0
"""A policy in force over the queues of one engine or gateway: what serves uses `queues` under `lock`, and operators ask
through `host.py`.

The policy can be replaced while requests wait and run (`upgrade`), and everything it decides can be recorded.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transect.base.unavailable import Unavailable
from transect.control.host import NOTHING_BEFORE, check_return
from transect.control.params import find as param_of
from transect.core.codec import CodecError
from transect.core.effects import Facts
from transect.core.ir import FieldKind, Program
from transect.core.schema import Schema, schema
from transect.core.upgrade import Action, Comparison, Decision, Refused, compare, given_back, migration
from transect.core.upgrade import upgrade as carried_over
from transect.emit.py.carried import carry_locals
from transect.lang.functions import PolicyError
from transect.llm.accounts import AccountedQueues
from transect.llm.adapter import Chooser, chooser_of, counter_field
from transect.llm.config import Config
from transect.llm.lock import FairLock
from transect.llm.native import NativePolicy, image, numbered, obstacle, restore
from transect.llm.policies import Loaded, load
from transect.llm.request import Held
from transect.llm.tenants import Tenants
from transect.llm.watch import Mode, Watcher

if TYPE_CHECKING:
    from transect.llm.record import Recording
    from transect.replay.log import Trailer

log = logging.getLogger("transect.llm")

# Counters read per look at the bound, on average: looking costs the same for any number of tenants
LOOKED_AT = 64
TIDY_S = 1.0  # between looks for tenants whom the policy may forget
FORGOTTEN = 512  # tenants that one such look asks about, so that it takes a bounded time


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What an upgrade did."""

    fields: Comparison
    anew: bool  # the new policy shares nothing with the old one, and was told of all who wait and run


class Service:
    """One policy, its queues, its tenants."""

    def __init__(
        self,
        config: Config,
        folder: Path,
        *,
        bound: int,
        running: Callable[[], Iterable[Held]],
        known: Iterable[str] = (),
        shared: bool = False,
    ) -> None:
        """`folder`: of the configuration, which relative paths begin at.  `bound`: U, in weighted micro-tokens.
        `running`: the requests that are admitted and have not ended.  `known`: tenants that have numbers already.
        `shared`: others move its counters, too.

        Raises `PolicyError` for a policy that cannot run here, `Unavailable` for one without counters to share.
        """
        self.lock = FairLock()
        self._upgrading = threading.Lock()
        self._before: Loaded | None = None  # the policy before the last upgrade
        self.folder = folder
        self.tenants = Tenants(config, known)
        self.version = 1
        self.recording: Recording | None = None
        self.noticing: Callable[[Chooser], None] | None = None  # told of every chooser that comes into force
        self._running = running
        self._loaded = self._load(config.policy, config.params)
        self._shared = shared
        self._can_share(self._loaded.program)
        self._lifts = _lifts(self._loaded.program)
        # Why it does not run in machine code; empty: it does.
        self._policy, self.python_because = self._made(self._loaded)
        self.queues = AccountedQueues(chooser_of(self._policy, self._loaded.program))
        self.watcher = Watcher(bound, Mode(config.bound))
        self._looks = 0
        self._tidied = time.monotonic()
        self._idle: Iterator[Hashable] = iter(
            ()
        )  # the tenants that are still to be asked about, in this turn

    def _load(self, what: str, params: dict[str, Any]) -> Loaded:
        return load(str(self.place_of(what)), **params)

    def _made(self, loaded: Loaded) -> tuple[Any, str]:
        """The policy object, machine code where that can be, else Python; and why it is Python."""
        if self._shared:
            return loaded.make(), "its counters are shared with other gateways"
        try:
            return numbered(loaded), ""
        except Unavailable as lacking:
            if not obstacle(loaded.program):  # the machine is in the way
                log.warning("%s runs as emitted Python: %s", loaded.program.name, lacking)
            return loaded.make(), lacking.why

    def _can_share(self, program: Program) -> None:
        if self._shared and counter_field(program) is None:
            why = f"{program.name} orders tenants by no counter of service"
            raise Unavailable("shared counters", why, "run it in one gateway")

    def place_of(self, what: str) -> Path:
        """Where a policy is, as a configuration names it: an example, or a file relative to the configuration."""
        is_file = "/" in what or what.partition(":")[0].endswith(".py")
        return self.folder / what if is_file else Path(what)

    @property
    def program(self) -> Program:
        """The program of the policy in force."""
        return self._loaded.program

    @property
    def sources(self) -> Mapping[str, str]:
        """The texts of the policy in force, by path."""
        return self._loaded.sources

    @property
    def policy(self) -> Any:
        """The policy object in force."""
        return self._policy

    # ---------------------------------------------------------------- the bound

    @property
    def bounded(self) -> bool:
        """Whether the policy has counters that the bound speaks of."""
        return self.queues.chooser.counter_field is not None

    def watch(self) -> None:
        """Once a step: look at the gap, more rarely the more clients wait.  Raises `BoundBroken` in `enforce`."""
        if not self.bounded:
            return
        self._looks += LOOKED_AT
        clients = self.queues.clients_waiting
        if clients < 2:
            self.watcher.take(0)
        elif self._looks >= clients:
            self._looks = 0
            self.watcher.look(self.queues)
        if time.monotonic() >= self._tidied + TIDY_S:
            self.tidy()

    def tidy(self) -> int:
        """Let the policy forget some tenants that lose and gain nothing by it, so that its tables stay small; how many.

        Not while it records, as the log would not say so, and not while counters are shared: there the sum of what
        all gateways charged is to stay; and never under a policy that lifts nobody who comes back.
        """
        self._tidied = time.monotonic()
        if not self._lifts or self.recording is not None or self.noticing is not None:
            return 0
        asked = list(islice(self._idle, FORGOTTEN))
        if len(asked) < FORGOTTEN:
            self._idle = iter(list(self.queues.accounts))
        return len(self.queues.forget_idle(asked))

    # ---------------------------------------------------------------- another policy, or version

    def upgrade(
        self, path: Path, params: Mapping[str, Any] | None = None, *, returns: bool = False
    ) -> Upgraded:
        """Put the policy of a file in force, state kept by the schema rules.  `returns`: state that goes over could go
        back, too.  `params`: values of its parameters, whatever they were.

        Requests go on while the new one is made, and stand still while the state goes over.  Of two at once, the
        second begins when the first is over.

        Raises `PolicyError` for a file without one that can run here, `Unavailable` for one that cannot where counters
        are shared, `Refused` for state that cannot go over, or back; then the old one goes on.
        """
        loaded = load(str(path), **(params or {}))
        self._can_share(loaded.program)
        with self._upgrading:
            old, new = schema(self.program), schema(loaded.program)
            fields = compare(old, new, migration(loaded.program) is not None)
            if returns:
                check_return(loaded.program.name, old, loaded.program)
            before = self._loaded

            def carried(state: bytes) -> bytes:
                return _with_params(carried_over(state, old, loaded.program), loaded)

            done = self._change(loaded, carried, fields)
            self._before = before
            return done

    def go_back(self) -> Upgraded:
        """Put the policy in force again that ran before the last upgrade, state given back; likewise.

        Raises `Refused` where there is none, or the state cannot go back.
        """
        with self._upgrading:
            before, now = self._before, self._loaded
            if before is None:
                raise Refused(NOTHING_BEFORE[0])
            old = schema(before.program)

            def carried(state: bytes) -> bytes:
                return given_back(state, now.program, old)

            done = self._change(before, carried, compare(schema(now.program), old))
            self._before = None
            return done

    def _change(self, loaded: Loaded, carried: Callable[[bytes], bytes], fields: Comparison) -> Upgraded:
        """Put a policy in the place of the one that runs, with what is made of its state."""
        policy, because = self._made(loaded)
        with self.lock:
            try:
                restore(policy, carried(image(self._policy)))
            except CodecError as error:
                raise Refused(f"the state of {self.program.name} cannot be read: {error}") from error
            anew = not any(_keeps(d, schema(loaded.program)) for d in fields.decisions)
            self._take_over(policy, loaded, anew)
            self.python_because = because
            return Upgraded(fields, anew)

    def _take_over(self, policy: Any, loaded: Loaded, anew: bool) -> None:
        chooser = chooser_of(policy, loaded.program)
        if anew:
            self._introduce(chooser)
        else:
            for client in self.queues.clients():
                chooser.waiting.append(client)
            for request in (*self.queues, *self._running()):
                self._carry(policy, request)
        self._policy, self._loaded, self._lifts = policy, loaded, _lifts(loaded.program)
        self.version += 1
        self.use(chooser)

    def _carry(self, policy: Any, request: Held) -> None:
        """What the old policy keeps with a request; machine code keeps nothing with requests."""
        if not isinstance(self._policy, NativePolicy) and not isinstance(policy, NativePolicy):
            carry_locals(self._policy, policy, request)

    def _introduce(self, chooser: Chooser) -> None:
        """Tell a policy that knows nobody of those who run and wait, in the order of their arrival."""
        for request in sorted(self._running(), key=lambda r: r.number):
            if chooser.admit is not None:
                chooser.admit(request)
        heads = {request.number for request in self.queues.heads()}
        for request in sorted(self.queues, key=lambda r: r.number):
            if chooser.arrive is not None:
                chooser.arrive(request)
            chooser.waiting.append(request.client)
            if request.number in heads and chooser.head is not None:
                chooser.head(request)

    def use(self, chooser: Chooser) -> None:
        """Let a chooser decide from now on, through the recorder if there is one."""
        if self.recording is not None:
            chooser = self._recorded(self.recording)
        self._in_force(chooser)

    def _in_force(self, chooser: Chooser) -> None:
        if self.noticing is not None:
            self.noticing(chooser)
        self.queues.use(chooser)

    # ---------------------------------------------------------------- counters that others move too

    def counter_of(self, client: int) -> int:
        """In weighted micro-tokens."""
        return self.queues.chooser.counter(client)

    def move_counter(self, client: int, change: int) -> None:
        """Another instance of the policy charged or lifted the client."""
        field = self.queues.chooser.counter_field
        assert field is not None, f"{self.program.name} has no counters"
        self.queues.chosen_again()
        getattr(self._policy, field)[client] += change

    # ---------------------------------------------------------------- recording

    def record(self, path: Path, name: str, *, real: bool = True) -> None:
        """Write every call of the policy into a new log.  Raises FileExistsError, OSError."""
        from transect.llm.record import Recording

        with self.lock:
            assert self.recording is None, "it records already"
            self.recording = Recording(path, name, self.tenants, real=real)
            self._in_force(self._recorded(self.recording))

    def _recorded(self, recording: Recording) -> Chooser:
        there = (*self.queues, *self._running())
        return recording.through(self._policy, self.program, self.sources, there)

    def end_record(self) -> Trailer:
        """Close the log.  Raises OSError when the disk did not take all of it."""
        with self.lock:
            recording, self.recording = self.recording, None
            assert recording is not None, "nothing is recorded"
            self._in_force(chooser_of(self._policy, self.program))
            final = image(self._policy)
        return recording.close(final)


def _lifts(program: Program) -> bool:
    """Whether who comes back is lifted: only then is a low counter nothing that must be kept."""
    arrive = program.handler("arrive")
    return arrive is not None and counter_field(program) in Facts(program).of(arrive).written_fields


def _with_params(state: bytes, loaded: Loaded) -> bytes:
    """The image of a state, with the parameters that were given."""
    given = {f.name for f in loaded.program.state if f.kind is FieldKind.PARAM} & loaded.params.keys()
    for name in sorted(given):
        state = param_of([loaded.program], name).put(loaded.params[name], lambda before: None)(state)
    return state


def _keeps(decision: Decision, new: Schema) -> bool:
    """Whether the new version knows something of what was before; a parameter is nothing of that kind."""
    field = new.field(decision.field)
    begins = (Action.START, Action.DROP, Action.REFUSE)
    return field is not None and field.kind is FieldKind.STATE and decision.action not in begins


__all__ = ["PolicyError", "Service", "Upgraded"]
