# SPDX-License-Identifier: Apache-2.0
"""Terms to z3, a question with a limit of processor time, and the values of a model.

A first question takes multiplication, division, arithmetic of floats and all that is asked of texts but equality for
unknown functions, at which z3 is fast: what is proved so is proved.  A model of it may be impossible; whoever asks
replays it, and asks again exactly.  Before that it may have an impossible model corrected: what an operator really
makes of the operands that the model chose is added, and the question asked again.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from transect.analysis.specialise import rebuilt
from transect.analysis.terms import HARD, TEXTUAL, Op, Sort, Term, integer, number, walk
from transect.base.unavailable import Unavailable

LIMIT = 2.0  # seconds of the processor for one question
_CONSTANTS: Mapping[Sort, Callable[[Any], Term]] = {Sort.INT: integer, Sort.FLOAT: number}  # of operands
CORRECTIONS = 20  # for who replays models
WAITS = 20  # times as long by the clock, where other programs have the processor


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
        """What the term is there; of an opaque one, a name that tells it from others."""
        found = self.z3_model.eval(self.translation.of(term), model_completion=True)
        if term.sort is Sort.OPAQUE:
            return str(found)
        if term.sort is Sort.TEXT and not self.translation.texts:
            return self._abstract_text(found)
        return self.translation.plain(found, term.sort)

    def _abstract_text(self, found: Any) -> bytes:
        """A text with the identity and, as far as it was asked about, the length that the model gives it."""
        constants, length = self.translation.text_constants()
        for data, made in constants.items():
            if self.z3_model.eval(made, model_completion=True).eq(found):
                return data
        name = str(found).replace("!val!", "").encode()
        size = int(self.z3_model.eval(length(found), model_completion=True).as_signed_long())
        if not self.translation.measured() or size == len(name):
            return name
        if size < len(name):
            number = int(str(found).rpartition("!")[2])
            return _short(number, size)
        return name + b"." * min(size - len(name), 1 << 16)


@dataclass(frozen=True)
class Found:
    answer: Answer
    model: Model | None = None
    seconds: float = 0.0
    why: str = ""


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
    tactic: str  # "": z3's own choice

    def solver(self) -> Any:
        z3 = solver()
        made = z3.Tactic(self.tactic).solver() if self.tactic else z3.Solver()
        made.set("random_seed", self.seed)
        return made


FIRST, SECOND = Asking(1, 0, ""), Asking(5, 7, "smt")
"""For a proof, and for the second one that confirms it."""


@dataclass
class Question:
    """Is there an input, keeping to the assumptions, for which all parts hold?"""

    parts: Sequence[Term]
    assumptions: Iterable[Term] = ()
    exact: bool = False  # numbers as they are
    texts: bool = False  # texts as they are
    limit: float = LIMIT  # seconds of the processor
    asking: Asking = FIRST
    corrections: int = 0  # impossible models of a first question that are corrected, one after the other
    more: Sequence[Any] = field(default_factory=tuple)  # z3 terms besides
    plain: bool = True  # texts that are printable ASCII alone: for a model, never for a proof

    def ask(self) -> Found:
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
        with limited(asked, self.asking.times * self.limit):
            said, model = self._answered(asked, translation)
        seconds = time.perf_counter() - start
        if said == z3.unsat:
            return Found(Answer.NEVER, None, seconds)
        if said == z3.sat:
            return Found(Answer.SOMETIMES, Model(translation, model), seconds)
        return Found(Answer.UNKNOWN, None, seconds, asked.reason_unknown())

    def _answered(self, asked: Any, translation: Translation) -> tuple[Any, Any]:
        """z3's answer, and its model; the last that it found, when there is no time left to correct it."""
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


@contextmanager
def limited(asked: Any, seconds: float) -> Iterator[None]:
    """Interrupt a solver when it has taken so long of the processor: an answer does not depend on what else runs."""
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
                asked.interrupt()  # again and again: between two checks nobody hears it

    watching = threading.Thread(target=watch, name="transect-solver-limit", daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def relevant(assumptions: Iterable[Term], parts: Sequence[Term]) -> list[Term]:
    """The assumptions about what the parts speak of: those that share an input or an unknown function's value."""
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


class Translation:
    """z3 expressions for terms; each made once."""

    def __init__(self, z3: Any, exact: bool, texts: bool) -> None:
        self.z3 = z3
        self.exact = exact
        self.texts = texts
        self._made: dict[Term, Any] = {}
        self._functions: dict[tuple[str, tuple[Sort, ...], Sort], Any] = {}
        self._sorts = {
            Sort.BOOL: z3.BoolSort(),
            Sort.INT: z3.BitVecSort(64),
            Sort.FLOAT: z3.Float64(),
            Sort.TEXT: z3.StringSort() if texts else z3.DeclareSort("Text"),
            Sort.OPAQUE: z3.DeclareSort("Opaque"),
        }
        self._texts: dict[bytes, Any] = {}  # constants of an abstract question
        self.facts: list[Any] = []  # that hold of what is taken for unknown
        self._rounding = z3.RNE()

    def of(self, term: Term) -> Any:
        found = self._made.get(term)
        if found is None:
            for below in walk(term):
                if below not in self._made:
                    self._made[below] = self._one(below, [self._made[a] for a in below.args])
            found = self._made[term]
        return found

    def _one(self, term: Term, args: list[Any]) -> Any:
        if term.op is Op.CONST:
            return self._constant(term)
        if term.op is Op.VAR:
            return self.z3.Const(f"{term.data} {term.sort}", self._sorts[term.sort])
        if term.op is Op.FUNCTION:
            return self._function(str(term.data), term)(*args)
        if term.op in HARD and not self.exact:
            return self._hard(term, args)
        if term.op in TEXTUAL and not self.texts:
            return self._textual(term, args)
        if (
            term.op is Op.LT_T
        ):  # z3 4.16 takes "" < "\0" for false, so it is not asked about the order of texts
            return self._function("op lt_t", term)(*args)
        rule = getattr(self, f"_{term.op.value}")
        return rule(*args) if term.data is None else rule(*args, term.data)

    # ------------------------------------------------------------ abstract questions

    def _hard(self, term: Term, args: list[Any]) -> Any:
        """An operator as an unknown function, with the little that is always true of it."""
        z3 = self.z3
        value = self._function(f"op {term.op}", term)(*args)
        if term.sort is Sort.INT and len(args) == 2:
            a, b = args
            match term.op:
                case Op.MUL:
                    self.facts += [
                        z3.Implies(z3.Or(a == 0, b == 0), value == 0),
                        z3.Implies(b == 1, value == a),
                    ]
                    self.facts.append(z3.Implies(a == 1, value == b))
                case Op.FLOORDIV_S | Op.FLOORDIV_U:
                    self.facts.append(z3.Implies(z3.Or(a == 0, b == 0), value == 0))
                    self.facts.append(z3.Implies(z3.And(a >= 0, b > 0), z3.And(value >= 0, value <= a)))
                    self.facts.append(z3.Implies(z3.And(a >= 0, b > a), value == 0))
                case _:
                    self.facts.append(z3.Implies(z3.And(a >= 0, b > a), value == a))
        return value

    def corrections(self, model: Any) -> list[Any]:
        """What hard operators really make of the operands in a model, where the model has another value."""
        z3 = self.z3
        found = []
        for term, made in self._made.items():
            if term.op not in HARD:
                continue
            operands = [model.eval(self._made[a], model_completion=True) for a in term.args]
            values = [
                _CONSTANTS[a.sort](self.plain(o, a.sort)) for a, o in zip(term.args, operands, strict=True)
            ]
            result = self._constant(rebuilt(term, values))
            if not z3.is_true(model.eval(made == result, model_completion=True)):
                same = [self._made[a] == self._constant(v) for a, v in zip(term.args, values, strict=True)]
                found.append(z3.Implies(z3.And(*same), made == result))
        return found

    def _textual(self, term: Term, args: list[Any]) -> Any:
        """Lengths are numbers of their own; what else is asked of a text is an unknown function."""
        if term.op in (Op.LENGTH, Op.FITS):
            size = self._size(args[0])
            return size if term.op is Op.LENGTH else size <= self.z3.BitVecVal(term.data, 64)
        return self._function(f"op {term.op}", term)(*args)

    def _size(self, value: Any) -> Any:
        of = self.z3.Function("length", self._sorts[Sort.TEXT], self._sorts[Sort.INT])
        size = of(value)
        self.facts.append(size >= 0)
        return size

    def text_constants(self) -> tuple[dict[bytes, Any], Any]:
        of = self.z3.Function("length", self._sorts[Sort.TEXT], self._sorts[Sort.INT])
        return self._texts, of

    def measured(self) -> bool:
        """Whether the question is about the length of some text."""
        return any(t.op in (Op.LENGTH, Op.FITS) for t in self._made)

    def known_facts(self) -> list[Any]:
        """What an abstract question knows besides: constants differ, and have their length."""
        z3 = self.z3
        found = list(self.facts)
        if len(self._texts) > 1:
            found.append(z3.Distinct(*self._texts.values()))
        if self.measured():
            of = z3.Function("length", self._sorts[Sort.TEXT], self._sorts[Sort.INT])
            found += [of(e) == len(data) for data, e in self._texts.items()]
            if b"" in self._texts:
                empty = self._texts[b""]
                found += [
                    z3.Implies(of(e) == 0, e == empty)
                    for t, e in self._made.items()
                    if t.sort is Sort.TEXT and t.op in (Op.VAR, Op.FUNCTION)
                ]
        return found

    def _function(self, name: str, term: Term) -> Any:
        sorts = tuple(a.sort for a in term.args)
        key = (name, sorts, term.sort)
        if key not in self._functions:
            kinds = [self._sorts[s] for s in sorts]
            mark = f"{name} {' '.join(s.value for s in sorts)} {term.sort}"
            self._functions[key] = self.z3.Function(mark, *kinds, self._sorts[term.sort])
        return self._functions[key]

    def _constant(self, term: Term) -> Any:
        z3 = self.z3
        match term.sort:
            case Sort.BOOL:
                return z3.BoolVal(term.data)
            case Sort.INT:
                return z3.BitVecVal(term.data, 64)
            case Sort.FLOAT:
                return _float_constant(z3, term.data)
            case Sort.OPAQUE:
                return z3.Const(f"opaque {term.data}", self._sorts[Sort.OPAQUE])
            case Sort.TEXT if not self.texts:
                made = z3.Const(f"text {term.data!r}", self._sorts[Sort.TEXT])
                return self._texts.setdefault(term.data, made)
            case Sort.TEXT:
                # One character for each byte; z3 reads \u{…} as an escape.
                return z3.StringVal("".join(f"\\u{{{b:x}}}" for b in term.data))

    def terms(self) -> Iterable[Term]:
        """Every term that was translated."""
        return self._made.keys()

    # ------------------------------------------------------------ truth

    def _not(self, a: Any) -> Any:
        return self.z3.Not(a)

    def _and(self, *parts: Any) -> Any:
        return self.z3.And(*parts) if parts else self.z3.BoolVal(True)

    def _or(self, *parts: Any) -> Any:
        return self.z3.Or(*parts) if parts else self.z3.BoolVal(False)

    def _ite(self, cond: Any, then: Any, orelse: Any) -> Any:
        return self.z3.If(cond, then, orelse)

    def _eq(self, a: Any, b: Any) -> Any:
        return a == b  # of floats: the same datum, all NaN being one

    # ------------------------------------------------------------ integers

    def _add(self, a: Any, b: Any) -> Any:
        return a + b

    def _sub(self, a: Any, b: Any) -> Any:
        return a - b

    def _mul(self, a: Any, b: Any) -> Any:
        return a * b

    def _floordiv_s(self, a: Any, b: Any) -> Any:
        """Towards minus infinity; z3 goes towards zero, and has another answer for zero."""
        z3 = self.z3
        quotient, rest = a / b, z3.SRem(a, b)
        low = z3.And(rest != 0, (a < 0) != (b < 0))
        return z3.If(b == 0, z3.BitVecVal(0, 64), z3.If(low, quotient - 1, quotient))

    def _floordiv_u(self, a: Any, b: Any) -> Any:
        return self.z3.If(b == 0, self.z3.BitVecVal(0, 64), self.z3.UDiv(a, b))

    def _mod_s(self, a: Any, b: Any) -> Any:
        z3 = self.z3
        rest = z3.SRem(a, b)
        return z3.If(b == 0, a, z3.If(z3.And(rest != 0, (rest < 0) != (b < 0)), rest + b, rest))

    def _mod_u(self, a: Any, b: Any) -> Any:
        return self.z3.If(b == 0, a, self.z3.URem(a, b))

    def _bitand(self, a: Any, b: Any) -> Any:
        return a & b

    def _bitor(self, a: Any, b: Any) -> Any:
        return a | b

    def _xor(self, a: Any, b: Any) -> Any:
        return a ^ b

    def _shl(self, a: Any, count: Any) -> Any:
        return a << (count & 63)

    def _shr_s(self, a: Any, count: Any) -> Any:
        return a >> (count & 63)

    def _shr_u(self, a: Any, count: Any) -> Any:
        return self.z3.LShR(a, count & 63)

    def _lt_s(self, a: Any, b: Any) -> Any:
        return a < b

    def _lt_u(self, a: Any, b: Any) -> Any:
        return self.z3.ULT(a, b)

    def _narrow(self, a: Any, data: tuple[int, bool]) -> Any:
        bits, signed = data
        low = self.z3.Extract(bits - 1, 0, a)
        return self.z3.SignExt(64 - bits, low) if signed else self.z3.ZeroExt(64 - bits, low)

    # ------------------------------------------------------------ floats

    def _lt_f(self, a: Any, b: Any) -> Any:
        return self.z3.fpLT(a, b)

    def _eq_f(self, a: Any, b: Any) -> Any:
        return self.z3.fpEQ(a, b)

    def _neg_f(self, a: Any) -> Any:
        return self.z3.fpNeg(a)

    def _add_f(self, a: Any, b: Any) -> Any:
        return self.z3.fpAdd(self._rounding, a, b)

    def _sub_f(self, a: Any, b: Any) -> Any:
        return self.z3.fpSub(self._rounding, a, b)

    def _mul_f(self, a: Any, b: Any) -> Any:
        return self.z3.fpMul(self._rounding, a, b)

    def _div_f(self, a: Any, b: Any) -> Any:
        return self.z3.fpDiv(self._rounding, a, b)

    def _int_to_f(self, a: Any) -> Any:
        return self.z3.fpSignedToFP(self._rounding, a, self.z3.Float64())

    def _uint_to_f(self, a: Any) -> Any:
        return self.z3.fpUnsignedToFP(self._rounding, a, self.z3.Float64())

    def _f_to_int(self, a: Any) -> Any:
        z3 = self.z3
        inside = z3.fpToSBV(z3.RTZ(), a, z3.BitVecSort(64))
        return self._saturated(a, inside, -(2.0**63), -(2**63), 2.0**63, 2**63 - 1)

    def _f_to_uint(self, a: Any) -> Any:
        z3 = self.z3
        inside = z3.fpToUBV(z3.RTZ(), a, z3.BitVecSort(64))
        return self._saturated(a, inside, 0.0, 0, 2.0**64, 2**64 - 1)

    def _saturated(self, a: Any, inside: Any, low: float, least: int, high: float, most: int) -> Any:
        z3 = self.z3
        below, above = z3.fpLT(a, z3.FPVal(low, z3.Float64())), z3.fpGEQ(a, z3.FPVal(high, z3.Float64()))
        limited = z3.If(above, z3.BitVecVal(most, 64), z3.If(below, z3.BitVecVal(least, 64), inside))
        return z3.If(z3.fpIsNaN(a), z3.BitVecVal(0, 64), limited)

    # ------------------------------------------------------------ texts

    def _length(self, a: Any) -> Any:
        return self.z3.Int2BV(self.z3.Length(a), 64)

    def _fits(self, a: Any, size: int) -> Any:
        return self.z3.Length(a) <= size

    def _prefix(self, a: Any, b: Any) -> Any:
        return self.z3.PrefixOf(b, a)

    def _suffix(self, a: Any, b: Any) -> Any:
        return self.z3.SuffixOf(b, a)

    def _contains(self, a: Any, b: Any) -> Any:
        return self.z3.Contains(a, b)

    # ------------------------------------------------------------ models

    def plain_texts(self) -> list[Any]:
        """That every text which was asked about is of printable ASCII and short."""
        z3 = self.z3
        printable = z3.Star(z3.Range("!", "~"))
        unknown = [
            (t, e) for t, e in self._made.items() if t.op in (Op.VAR, Op.FUNCTION) and t.sort is Sort.TEXT
        ]
        return [z3.InRe(e, printable) for _, e in unknown]

    def plain(self, found: Any, sort: Sort) -> bool | int | float | bytes:
        """A z3 value as a plain one."""
        z3 = self.z3
        match sort:
            case Sort.BOOL:
                return bool(z3.is_true(found))
            case Sort.INT:
                return int(found.as_signed_long())
            case Sort.FLOAT:
                return _float(z3, found)
            case Sort.TEXT:
                return b"".join(_bytes(c) for c in _characters(found.as_string()))
            case Sort.OPAQUE:
                raise AssertionError("an opaque value has no plain form")


def _short(number: int, size: int) -> bytes:
    """A short text for a number; different ones for different numbers as far as there are as many."""
    letters = b"abcdefghijklmnopqrstuvwxyz0123456789"
    found = bytearray()
    for _ in range(size):
        number, rest = divmod(number, len(letters))
        found.append(letters[rest])
    return bytes(found)


def _float_constant(z3: Any, value: float) -> Any:
    """z3 reads neither an infinity nor a NaN, and of the others decimal digits."""
    if value != value:
        return z3.fpNaN(z3.Float64())
    (bits,) = struct.unpack("<Q", struct.pack("<d", value))
    return z3.simplify(z3.fpBVToFP(z3.BitVecVal(bits, 64), z3.Float64()))


def _float(z3: Any, found: Any) -> float:
    if z3.is_fp(found) and found.isNaN():
        return float("nan")
    bits = z3.simplify(z3.fpToIEEEBV(found))
    value: float = struct.unpack("<d", int(bits.as_long()).to_bytes(8, "little"))[0]
    return value


def _characters(text: str) -> Iterable[int]:
    """The characters of a z3 string, which escapes some as \\u{…}."""
    at = 0
    while at < len(text):
        if text.startswith("\\u{", at):
            end = text.index("}", at)
            yield int(text[at + 3 : end], 16)
            at = end + 1
        else:
            yield ord(text[at])
            at += 1


def _bytes(character: int) -> bytes:
    """One byte; a character that is none, which only a model without `plain_text` has, as its UTF-8."""
    return bytes((character,)) if character < 256 else chr(character).encode()
