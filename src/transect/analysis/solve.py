# SPDX-License-Identifier: Apache-2.0
"""A question to z3 with a limit of processor time, and the values of a model.

A model of a question that is not exact may be impossible, so the caller replays it and, if need be, asks again exactly.
Before that, `corrections` let the solver correct such a model and try again. z3's terms are shared by the whole process
and are not safe for several threads, so proofs run in one thread at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from transect.analysis.allowance import seconds_left
from transect.analysis.terms import Op, Sort, Term, walk
from transect.analysis.translation import Translation
from transect.base.unavailable import Unavailable

LIMIT = 2.0  # seconds of the processor for one question
CORRECTIONS = 20  # for callers that replay models
LATE = ("timeout", "canceled", "interrupted")  # z3's words for an exceeded time limit
WAITS = 20  # times the limit by the clock, since other programs may use the processor


class Answer(Enum):
    NEVER = "never"  # no input makes it true
    SOMETIMES = "sometimes"
    UNKNOWN = "unknown"  # the time was up, or the solver gave up


@dataclass(frozen=True)
class Model:
    """Values of the inputs that make a question true."""

    translation: Translation
    z3_model: Any

    def value(self, term: Term) -> bool | int | float | bytes | str:
        """The term's value in the model; for an opaque term, a name that tells it from others."""
        found = self.z3_model.eval(self.translation.of(term), model_completion=True)
        if term.sort is Sort.OPAQUE:
            return str(found)
        if term.sort is Sort.TEXT and not self.translation.texts:
            return self._abstract_text(found)
        return self.translation.plain(found, term.sort)

    def _abstract_text(self, found: Any) -> bytes:
        """A text with the identity, the answers to predicates and, as far as it was asked about, the length that the
        model gives it."""
        constants, length = self.translation.text_constants()
        for data, made in constants.items():
            if self.z3_model.eval(made, model_completion=True).eq(found):
                return data
        name = str(found).replace("!val!", "").encode()
        size = int(self.z3_model.eval(length(found), model_completion=True).as_signed_long())
        if self.translation.measured() and size < len(name):
            name = _short(int(str(found).rpartition("!")[2]), size)
        if (numbers := self.translation.numbers()) is not None:
            is_one, which = (self.z3_model.eval(of(found), model_completion=True) for of in numbers)
            if self.translation.plain(is_one, Sort.BOOL):
                return str(self.translation.plain(which, Sort.INT)).encode()
        for predicate, function in self.translation.predicates():
            wanted = self.z3_model.eval(function(found), model_completion=True)
            name = predicate.mended(name, self.translation.plain(wanted, Sort.BOOL) is True)
        longer = size - len(name) if self.translation.measured() else 0
        return name + b"." * min(max(longer, 0), 1 << 16)


@dataclass(frozen=True)
class Found:
    answer: Answer
    model: Model | None = None
    seconds: float = 0.0
    why: str = ""

    @property
    def late(self) -> bool:
        """Whether more time may give an answer."""
        return self.answer is Answer.UNKNOWN and any(word in self.why for word in LATE)


def solver() -> Any:
    """The z3 module; raises `Unavailable`."""
    try:
        import z3
    except ImportError:
        raise Unavailable("proofs", "z3 is not installed", "pip install 'transect[prove]'") from None
    return z3


@dataclass(frozen=True, slots=True)
class Asking:
    """How a solver is asked."""

    times: int  # the limit of processor time
    seed: int
    simplified: bool  # by z3's tactics for its theories, before the core sees it; else the core is alone

    def solver(self) -> Any:
        z3 = solver()
        made = z3.Solver() if self.simplified else z3.SimpleSolver()
        made.set("random_seed", self.seed)
        return made


FIRST, SECOND = Asking(1, 0, simplified=False), Asking(5, 7, simplified=True)
"""For a proof, and for the second one that confirms it."""


_asking = threading.Lock()


@dataclass
class Question:
    """Is there an input, keeping to the assumptions, for which all parts hold?"""

    parts: Sequence[Term]
    assumptions: Iterable[Term] = ()
    exact: bool = False  # numbers as they are
    texts: bool = False  # texts as they are
    limit: float = LIMIT  # seconds of processor time; fewer if less is left of the allowance in force
    asking: Asking = FIRST
    corrections: int = 0  # impossible models of a first question that are corrected, one after the other
    more: Sequence[Any] = field(default_factory=tuple)  # z3 terms besides
    plain: bool = True  # texts that are printable ASCII alone: for a model, never for a proof

    def ask(self) -> Found:
        """Raises `RuntimeError` while another thread asks."""
        if not _asking.acquire(blocking=False):
            raise RuntimeError(
                "z3 serves one thread: run proofs one after the other, or in processes of their own"
            )
        try:
            return self._asked()
        except solver().Z3Exception as failed:  # then nothing is known, whatever the reason
            return Found(Answer.UNKNOWN, why=reason(failed))
        finally:
            _asking.release()

    def _asked(self) -> Found:
        z3 = solver()
        start = time.perf_counter()
        asked = self.asking.solver()
        translation = Translation(z3, self.exact, self.texts)
        wanted = list(self.parts)
        for term in (*wanted, *relevant(self.assumptions, wanted)):
            asked.add(translation.of(term))
        asked.add(*translation.known_facts())
        if self.texts and self.plain:
            asked.add(*translation.plain_texts())
        with limited(asked, seconds_left(self.asking.times * self.limit)):
            said, model = self._answered(asked, translation)
        seconds = time.perf_counter() - start
        if said == z3.unsat:
            return Found(Answer.NEVER, None, seconds)
        if said == z3.sat:
            return Found(Answer.SOMETIMES, Model(translation, model), seconds)
        return Found(Answer.UNKNOWN, None, seconds, asked.reason_unknown())

    def _answered(self, asked: Any, translation: Translation) -> tuple[Any, Any]:
        """z3's answer and its model; the last model found, if there is no time left to correct it."""
        z3 = translation.z3
        said, model = asked.check(), None
        for left in reversed(range(1 + (0 if self.exact else self.corrections))):
            if said != z3.sat:
                break
            model = asked.model()
            wrong = translation.corrections(model) if left else []
            if not wrong:
                return said, model
            asked.add(*wrong)
            said = asked.check()
        return (said, None) if said == z3.unsat or model is None else (z3.sat, model)


def reason(failed: Exception) -> str:
    """z3's own words about its failure."""
    said = failed.args[0] if failed.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


@contextmanager
def limited(asked: Any, seconds: float) -> Iterator[None]:
    """Interrupt a solver after that much processor time, so that an answer does not depend on the load of the
    machine.
    """
    measured = hasattr(time, "pthread_getcpuclockid")
    asked.set("timeout", int((WAITS if measured else 1) * seconds * 1000))
    if not measured:
        yield
        return
    clock = time.pthread_getcpuclockid(threading.get_ident())
    end, over = time.clock_gettime(clock) + seconds, threading.Event()

    def watch() -> None:
        while not over.wait(max(0.005, end - time.clock_gettime(clock))):
            if time.clock_gettime(clock) >= end:
                asked.interrupt()  # repeatedly: between two checks the solver ignores it

    watching = threading.Thread(target=watch, name="transect-solver-limit", daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def relevant(assumptions: Iterable[Term], parts: Sequence[Term]) -> list[Term]:
    """The assumptions that matter to the parts: those that share an input or an unknown function's value with them."""
    left = {a: set(_atoms(a)) for a in assumptions}
    known = {atom for part in parts for atom in _atoms(part)}
    taken: list[Term] = []
    while True:
        new = [a for a, atoms in left.items() if atoms & known]
        if not new:
            return sorted(taken, key=lambda t: t.serial)
        for a in new:
            known |= left.pop(a)
        taken += new


def _atoms(term: Term) -> Iterable[Term]:
    return (t for t in walk(term) if t.op in (Op.VAR, Op.FUNCTION))


def _short(number: int, size: int) -> bytes:
    """A short text for a number; different ones for different numbers as far as there are as many."""
    letters = b"abcdefghijklmnopqrstuvwxyz0123456789"
    found = bytearray()
    for _ in range(size):
        number, rest = divmod(number, len(letters))
        found.append(letters[rest])
    return bytes(found)
