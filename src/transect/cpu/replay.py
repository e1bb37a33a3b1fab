# SPDX-License-Identifier: Apache-2.0
"""Re-running a log of cpu: each call as emitted Python.  Every read takes the recorded word, and every store and
request must be the recorded one.

Emitted code has the policy's files and lines: breakpoints, `pdb` and coverage see the policy run.  It is the `recorded`
form of the program, as the kernel ran it: each access is a statement of its own, in the order of the words on the tape.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import cache, partial
from itertools import islice
from types import TracebackType
from typing import Annotated, Any

import msgspec

from transect.base.span import Span
from transect.core import ir
from transect.core.codec import CodecError
from transect.core.ir import FieldKind, Program
from transect.core.types import (
    ArrayType,
    BoolType,
    CounterType,
    IntType,
    OptionType,
    TableType,
    Type,
    UnitType,
    ViewType,
)
from transect.cpu.hints.schema import heard
from transect.cpu.platform import LANES, queue_number
from transect.cpu.record import head
from transect.emit.bpf.recording import asked_words, is_asked, recorded, site
from transect.emit.py.build import build
from transect.emit.py.positions import no_lines
from transect.lang.tape import Tape
from transect.replay.compare import Answers, Call, Functions
from transect.replay.log import Log, LogError, Record
from transect.replay.tape import TapeMismatch

WORD = struct.Struct("<q")
MASK = 2**64 - 1


class Words:
    """The tape of one call: what its handler read and what it stored or asked."""

    __slots__ = ("at", "count", "names", "sites", "words")

    def __init__(self, tape: bytes, names: Mapping[int, str]) -> None:
        self.count = len(tape) // 10
        words, sites = _forms(self.count)
        self.words: tuple[int, ...] = words.unpack_from(tape)
        self.sites: tuple[int, ...] = sites.unpack_from(tape, 8 * self.count)
        self.names = names
        self.at = 0

    @property
    def left(self) -> int:
        """Bytes that were recorded but not used."""
        return 10 * (self.count - self.at)

    def saw(self, number: int) -> int:
        """The next word, which must come from that field or function."""
        at = self.at
        if at >= self.count or self.sites[at] != number:
            self._elsewhere(number)
        self.at = at + 1
        return self.words[at]

    def said(self, number: int, value: int) -> None:
        """The next word, which must be this one."""
        found = self.saw(number)
        if found != value and (found ^ value) & MASK:
            raise TapeMismatch(f"{int(value)} goes to `{self.names[number]}`, where {found} was recorded")

    def _elsewhere(self, number: int) -> None:
        found = "nothing more"
        if self.at < self.count:
            found = f"`{self.names.get(self.sites[self.at], 'something unknown')}`"
        raise TapeMismatch(f"the handler comes to `{self.names[number]}`, where {found} was recorded")

    # what other tapes have: a scheduler's outside goes by its functions

    def answer(self, intrinsic: str, ask: Callable[[], object]) -> object:
        return ask()

    def now(self) -> int:
        return self.saw(_NOW)

    def draw(self) -> int:
        return self.saw(_DRAW)


_NOW, _DRAW = site("now"), site("rand_below")


@cache
def _forms(count: int) -> tuple[struct.Struct, struct.Struct]:
    return struct.Struct(f"<{count}q"), struct.Struct(f"<{count}H")


# ---------------------------------------------------------------- values of words


def _reader(t: Type) -> Callable[[int], Any]:
    """How to read a word as a value of the type."""
    match t:
        case BoolType():
            return bool
        case IntType(bits=64, signed=False) | CounterType():
            return lambda word: word & MASK
        case _:
            return lambda word: word


class Slot:
    """A field of one value: a read takes what was recorded, a store must store what was recorded."""

    def __init__(self, player: Player, name: str, t: Type) -> None:
        self.player = player
        self.site = site(name)
        self.option = isinstance(t, OptionType)
        self.value = _reader(t.item if isinstance(t, OptionType) else t)

    def get(self, _: object = None) -> Any:
        tape = self.player.tape
        word = tape.saw(self.site)
        if not self.option:
            return self.value(word)
        inner = tape.saw(self.site)
        return self.value(inner) if word else None

    def set(self, _: object, value: Any) -> None:
        tape = self.player.tape
        if self.option:
            tape.said(self.site, value is not None)
            value = value or 0
        tape.said(self.site, value)


class Count:
    """A `counter()`."""

    def __init__(self, player: Player, name: str) -> None:
        self.player = player
        self.site = site(name)

    def add(self, value: int) -> None:
        tape = self.player.tape
        tape.said(self.site, tape.saw(self.site) + value)


class Many:
    """An array or a table."""

    def __init__(self, player: Player, name: str, t: ArrayType | TableType) -> None:
        self.player = player
        self.site = site(name)
        self.length = t.length if isinstance(t, ArrayType) else 0
        self.value = _reader(t.item if isinstance(t, ArrayType) else t.value)

    def __getitem__(self, key: int) -> Any:
        return self.value(self.player.tape.saw(self.site))

    def get(self, key: int, *default: Any) -> Any:
        word = self.player.tape.saw(self.site)
        if default:
            return self.value(word)
        inner = self.player.tape.saw(self.site)
        return self.value(inner) if word else None

    def __contains__(self, key: object) -> bool:
        return bool(self.player.tape.saw(self.site))

    def __setitem__(self, key: int, value: int) -> None:
        self.player.tape.said(self.site, key)
        self.player.tape.said(self.site, value)

    def __delitem__(self, key: int) -> None:
        self.player.tape.said(self.site, key)

    def put(self, key: int, value: int) -> bool:
        self[key] = value
        return bool(self.player.tape.saw(self.site))

    @property
    def overflow(self) -> int:
        return self.player.tape.saw(self.site)

    def __len__(self) -> int:
        return self.length

    def keys(self) -> range:
        return range(self.length)


# ---------------------------------------------------------------- running it


class Player:
    """A policy that runs on tapes, as a `Runner`."""

    def __init__(self, program: Program, cpus: int, nodes: int = 1) -> None:
        self.program = program
        self.cpus = cpus
        self.nodes = nodes
        self.tape = Words(b"", {})
        flat = recorded(program)
        made = type(build(flat, lines=no_lines)().__state__)  # no lines: a log may name any file
        self._locals = self._slots("Local", object, FieldKind.LOCAL)()
        self._state = self._slots(made.__name__, made, FieldKind.STATE, FieldKind.PARAM)()
        for f in program.state:
            if f.kind is FieldKind.GIVEN:
                setattr(self._state, f.name, 1 << 48 | queue_number(f.name) << 12)
            elif isinstance(f.type, ArrayType | TableType):
                setattr(self._state, f.name, Many(self, f.name, f.type))
            elif isinstance(f.type, CounterType):
                setattr(self._state, f.name, Count(self, f.name))
        self.functions = {i.name: self._function(i) for i in program.intrinsics}
        self.views = {view.name: self._view(view.name) for view in program.views}
        self._hooks = {h.name: self._hook(made, h.name) for h in flat.handlers}

    def _slots(self, name: str, base: type[Any], *kinds: FieldKind) -> type[Any]:
        space: dict[str, Any] = {}
        for f in self.program.state:
            if f.kind in kinds and not isinstance(f.type, ArrayType | TableType | CounterType):
                slot = Slot(self, f.name, f.type)
                space[f.name] = property(slot.get, slot.set)
        return type(name, (base,), space)

    def _view(self, name: str) -> Any:
        space: dict[str, Any] = {}
        for view in self.program.views:
            if view.name == name:
                for member in view.members:
                    if isinstance(member.type, ViewType):  # the hint that is said
                        hint = heard(self.program)
                        space[member.name] = None if hint is None else self._view(hint.name)
                        continue
                    slot = Slot(self, f"{name}.{member.name}", member.type)
                    space[member.name] = property(slot.get)
        return type(name, (), space)()

    def _function(self, declared: ir.IntrinsicDecl) -> Callable[..., Any]:
        """A function of the kernel: the question must be the recorded one, and so is the answer."""
        if not is_asked(declared):
            # The only kind there is: the number of a queue, which belongs to a CPU, a node or a lane.
            if declared.name == "cpu.Lanes.on":
                return lambda queue, number: queue | number % LANES
            return partial(_on, self.nodes if declared.name.startswith("cpu.Node") else self.cpus)
        number = site(declared.name)
        slot = None if isinstance(declared.returns, UnitType) else Slot(self, declared.name, declared.returns)

        def ask(*args: Any) -> Any:
            for n in asked_words(declared, len(args)):
                self.tape.said(number, args[n])
            return None if slot is None else slot.get()

        return ask

    def _hook(self, made: type[Any], name: str) -> Callable[..., Any]:
        function = getattr(made, name)
        more: list[Any] = [Outside(self)] if function.__hook__.outside else []
        if function.__hook__.local is not None:
            more.append(self._locals)
        state = self._state
        return lambda args: function(state, *args, *more)

    # --- as a Runner ----------------------------------------------------------------------------------------------

    def load(self, image: bytes, /) -> None:
        """Does nothing: what handlers read comes from tapes."""

    def image(self) -> bytes:
        return b""

    def call(
        self,
        hook: str,
        args: Sequence[object],
        *,
        tape: Tape | None = None,
        locals: MutableMapping[str, object] | None = None,
        functions: Functions | None = None,
    ) -> Any:
        assert isinstance(tape, Words), "a scheduler's calls have tapes of words"
        self.tape = tape
        try:
            return self._hooks[hook](args)
        except TapeMismatch as wrong:
            wrong.span = self._line(wrong)
            raise

    def _line(self, wrong: TapeMismatch) -> Span | None:
        """The policy's line at which the mismatch occurred."""
        found, frame = None, wrong.__traceback__
        paths = {f.span.path for f in (*self.program.handlers, *self.program.functions)}
        while frame is not None:
            path = frame.tb_frame.f_code.co_filename
            if path in paths:
                found = _place(path, frame)
            frame = frame.tb_next
        return found


def _place(path: str, at: TracebackType) -> Span:
    """The place in the policy's text that the code was at."""
    positions = next(islice(at.tb_frame.f_code.co_positions(), at.tb_lasti // 2, None))
    line, end_line, column, end_column = (n or 0 for n in positions)
    return Span(path, line or at.tb_lineno, column, end_line or at.tb_lineno, end_column)


def _on(count: int, queue: int, number: int) -> int:
    return queue | (number if 0 <= number < count else 0)


class Outside:
    """How emitted code reaches the kernel."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self._functions = player.functions

    def call(self, name: str, *args: Any) -> Any:
        return self._functions[name](*args)

    ask = call

    def now(self) -> int:
        return self._player.tape.now()

    def rand_below(self, n: int) -> int:
        return self._player.tape.draw()


# ---------------------------------------------------------------- records


class Notes(msgspec.Struct):
    """What the head of a log says of the machine."""

    cpus: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
    nodes: Annotated[int, msgspec.Meta(ge=1, le=1 << 10)] = 1


def notes(log: Log) -> Notes:
    """Raises `LogError`."""
    try:
        return msgspec.convert(log.header.notes, Notes)
    except ValueError as wrong:
        raise LogError(f"the log does not say what machine it recorded: {wrong}") from wrong


class CpuDecoder:
    """The decoder of logs whose stratum is `cpu`, and what runs them."""

    def __init__(self, log: Log) -> None:
        said = notes(log)
        self.cpus, self.nodes = said.cpus, said.nodes
        self._players: dict[int, Player] = {}
        self._calls: dict[tuple[int, str], list[tuple[Any, Callable[[int], Any]]]] = {}
        self._names: dict[int, str] = {}

    def runner(self, program: Program) -> Player:
        player = Player(program, self.cpus, self.nodes)
        self._players[id(program)] = player
        named = [f.name for f in program.state] + [i.name for i in program.intrinsics] + ["now", "rand_below"]
        named += [f"{view.name}.{member.name}" for view in program.views for member in view.members]
        self._names |= {site(name): name for name in named}
        return player

    def whose(self, program: Program, hook: str, record: Record, answers: Answers) -> tuple[str, str]:
        """The task, and the CPU on which the call came."""
        found = head(record)
        return f"task {found.pid}", f"CPU {found.cpu}"

    def forget(self, program: Program, instance: int) -> None:
        """Nothing is kept."""

    def beside(self, program: Program, hook: str, record: Record) -> Call:
        return self.call(program, hook, record)

    def tells_end(self, policy: int, policies: int) -> bool:
        return False

    def call(self, program: Program, hook: str, record: Record) -> Call:
        known = self._calls.get((id(program), hook))
        if known is None:
            handler = program.handler(hook)
            assert handler is not None, f"{program.name} has no {hook}"
            known = self._calls[id(program), hook] = [
                self._parameter(program, p.type) for p in handler.params
            ]
        numbers = iter(head(record).args)
        args = [kind(next(numbers)) if view is None else view for view, kind in known]
        return Call(args, _result, tape=Words(record.tape, self._names))  # type: ignore[arg-type]

    def _parameter(self, program: Program, t: Type) -> tuple[Any, Callable[[int], Any]]:
        """A view, or a function that reads a number."""
        view = self._players[id(program)].views[t.name] if isinstance(t, ViewType) else None
        return view, _reader(t)

    def words(self, program: Program, hook: str, result: bytes) -> str:
        handler = program.handler(hook)
        assert handler is not None, f"{program.name} has no {hook}"
        if len(result) != WORD.size:
            raise CodecError(f"a result has {WORD.size} bytes, and this one {len(result)}")
        return repr(_reader(handler.returns)(WORD.unpack(result)[0]))


def _result(value: object) -> bytes:
    return WORD.pack(0 if value is None else int(value))  # type: ignore[call-overload]
