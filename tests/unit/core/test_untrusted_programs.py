# SPDX-License-Identifier: Apache-2.0
"""Programs that come as text are verified before anything evaluates, emits or loads them.

Each case is a sound program with one thing changed that no program of the front end has; all are refused.
"""

from __future__ import annotations

import inspect
import re
import sys

import pytest

from transect.core.foreign import admitted
from transect.core.frontend import compile_text
from transect.core.interp import Broken, Instance
from transect.core.ir import Stage
from transect.core.text import TextError, dump, parse
from transect.core.verify_interface import MAX_DEPTH

SOURCE = """\
from enum import IntEnum
from typing import Final
from transect.lang import Array, Counter, Instant, Local, Map, Param, Tally, array, counter, helper, local
from transect.lang import now, param, rand_below, struct, table, tally, trace
from transect.rpc import Code, Element, Forward, Message, Outcome, Reject, Retry, Rpc, Verdict

@struct
class Seen:
    calls: int
    at: Instant
    who: str = ""

class Kind(IntEnum):
    FREE = 0
    PAID = 1

class Part(Message):
    size: int

class Ask(Message):
    user: str
    n: int
    weight: float
    kind: Kind
    part: Part | None

@helper
def twice(n: int) -> int:
    return n + n

class Base(Element):
    limit: Param[int] = param(3)
    users: Map[str, Seen] = table(16)
    sums: Tally[str, int] = tally(16)
    ring: Array[int] = array(8)
    refused: Counter = counter()
    mine: Local[int] = local(0)
    total: int = 0
    last: str | None = None

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        name = rpc.headers.get("user")
        if name is None:
            self.refused.add()
            return Reject(Code.UNAUTHENTICATED, f"{rpc.method}: who is it?")
        seen = self.users.get(name, Seen(0, now()))
        seen.calls += 1
        self.users[name] = seen
        self.sums[name] += twice(rpc.msg.n)
        self.total = 0
        for i in range(8):
            if self.ring[i] > self.limit:
                continue
            self.total += self.ring[i]
        worst = max((self.sums[k] for k in self.sums), default=0)
        match rpc.msg.kind:
            case Kind.PAID:
                rpc.msg.n = 1
            case _:
                pass
        self.last = name
        trace(f"{name} {worst}")
        if worst > 100 and rand_below(2) == 1:
            return Reject(Code.RESOURCE_EXHAUSTED)
        return Forward()

    def finish(self, rpc: Rpc[Ask], outcome: Outcome) -> Retry | None:
        if outcome.code == Code.UNAVAILABLE:
            return Retry()
        return None
"""
LLM = """\
from transect.lang import Map, table, tally, Tally
from transect.llm import Admission, Client, Request


class Fair(Admission):
    served: Tally[Client, int] = tally(64)
    last: Client | None = None

    def pick(self) -> Client:
        return min(self.waiting, key=self.served.get)

    def charge(self, request: Request, prompt: int, output: int) -> None:
        self.served[request.client] += prompt + 2 * output
"""
CPU = """\
from transect.cpu import Fifo, Scheduler, Task
from transect.lang import given


class First(Scheduler):
    ready: Fifo = given()
    runs: int = 0

    def enqueue(self, task: Task) -> None:
        self.ready.put(task)

    def dispatch(self, cpu: int) -> None:
        self.ready.take()
"""
MEMORY = """\
from transect.memory import Probe, Struct, linux


class Cred(Struct, of="cred"):
    uid: int


class Look(Probe):
    def scan(self) -> None:
        for task in linux.tasks():
            if task.pid > 4000000:
                self.report("a large number", pid=task.pid)
"""


def text_of(source: str) -> str:
    """The one policy of a source as text, without spans."""
    made = compile_text(source)
    assert not made.diagnostics.failed, list(made.diagnostics)
    return re.sub(r"  ;.*|\nfile .*", "", dump(made.programs[0]))


SOUND = {
    name: text_of(source)
    for name, source in (("rpc", SOURCE), ("llm", LLM), ("cpu", CPU), ("memory", MEMORY))
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_program_is_admitted(name: str) -> None:
    assert dump(admitted(SOUND[name])) == SOUND[name]


def refused(program: str, old: str, new: str) -> str:
    """What is said of the program with that piece changed."""
    sound = SOUND[program]
    assert old in sound, f"the program has no {old!r}"
    with pytest.raises(TextError) as found:
        admitted(sound.replace(old, new))
    return str(found.value)


# ---------------------------------------------------------------- names that Python gives a meaning

DUNDERS = (
    "__class__",
    "__globals__",
    "__dict__",
    "__init__",
    "__getattribute__",
    "__builtins__",
    "__import__",
)
PLACES = {
    "the field of a struct": ("seen!calls", "seen!{}"),
    "a field that is read": (
        ".users.get_or(unwrap(name), Seen{0, %now(), ''::str[64]})",
        ".users.get_or(unwrap(name), Seen{0, %now(), ''::str[64]}).{}::Seen",
    ),
    "a view's member that is read": ("rpc->msg->n", "rpc->msg->{}::int"),
    "a view's member that is written": ("store (rpc->msg)->n = 1", "store (rpc->msg)->{}::int = 1"),
    "a view's member that is declared": (
        "  member n: int writable",
        "  member n: int writable\n  member {}: int",
    ),
    "a view": ("view Part 'rpc.Message'", "view {} 'rpc.Message'\nview Part 'rpc.Message'"),
    "a struct's field": ("(calls: int, at", "({}: int, at"),
    "a struct": ("struct Seen (", "struct Seen named '{}' ("),
    "an enum's member": ("FREE=0", "{}=0"),
    "a local": ("locals name: str?", "locals {}: int, name: str?"),
    "a state field": ("state total: int = 0", "state total: int = 0\nstate {}: int = 0"),
    "a helper": ("helper twice(", "helper {}(n: int) -> int\n  return n\nhelper twice("),
    "a helper's parameter": ("helper twice(n: int)", "helper twice(n: int, {}: int)"),
    "the policy": ("policy Base", "policy {}"),
    "a function": ("@twice(rpc->msg->n)", "@{}(rpc->msg->n)"),
    "an old state's field": ("helper twice(", "old state `old.{}`: int = 0\nhelper twice("),
}


@pytest.mark.parametrize("dunder", DUNDERS)
@pytest.mark.parametrize("place", PLACES)
def test_a_name_with_a_meaning_of_its_own_is_refused(place: str, dunder: str) -> None:
    old, new = PLACES[place]
    assert refused("rpc", old, new.replace("{}", dunder))


@pytest.mark.parametrize(
    "name",
    ["`a b`", "`a;b`", "`a(b)`", "`x*/`", '`"`', "`a-b`", "`1a`", "`a.b.`", "``", "`x\\\\`", "`#include`"],
)
@pytest.mark.parametrize(
    "place", ["a local", "a state field", "a helper", "a struct's field", "an enum's member"]
)
def test_what_no_policy_can_write_is_no_name(place: str, name: str) -> None:
    old, new = PLACES[place]
    assert refused("rpc", old, new.replace("`old.{}`", name).replace("{}", name))


# ---------------------------------------------------------------- functions that nobody gives

GET = "intrinsic %rpc.Headers.get(self: &Headers, name: str) -> str? 'outside-read'"
FORGED = {
    "a module of Python's": (GET, GET + "\nintrinsic %os.system(command: str) -> int 'pure'"),
    "a function of Python's": (GET, GET + "\nintrinsic %builtins.eval(text: str) -> int 'pure'"),
    "an import of the stratum's module": (GET, GET + "\nintrinsic %rpc.importlib(text: str) -> int 'pure'"),
    "a function that the stratum's module imports": (
        GET,
        GET + "\nintrinsic %rpc.wraps(text: str) -> int 'pure'",
    ),
    "a dunder of a view": (GET, GET + "\nintrinsic %rpc.Headers.__class__(self: &Headers) -> int 'pure'"),
    "a dunder of a stratum": (GET, GET + "\nintrinsic %rpc.__builtins__(self: &Headers) -> int 'pure'"),
    "a method of any object": (GET, GET + "\nintrinsic %v.__call__(f: &Headers, code: str) -> int 'pure'"),
    "a function of another stratum": (GET, GET + "\nintrinsic %memory.tasks() -> int 'outside-read'"),
    "a class of the stratum": (GET, GET + "\nintrinsic %rpc.Element(name: str) -> int 'pure'"),
    "another effect": (GET, GET.replace("outside-read", "pure")),
    "another result": (GET, GET.replace("str? ", "str ")),
    "another parameter": (GET, GET.replace("name: str", "name: int")),
    "one more parameter": (GET, GET.replace("name: str", "name: str, more: str")),
    "a parameter of another name": (GET, GET.replace("name: str", "text: str")),
    "any keywords": (GET, GET + " named"),
    "a declaration twice": (GET, GET + "\n" + GET),
    "the language's own, declared": (GET, GET + "\nintrinsic %now() -> int 'pure'"),
    "the language's own with other arguments": ("%rand_below(2)", "%rand_below('2')"),
    "the language's own with too few": ("%rand_below(2)", "%rand_below()"),
    "the language's own with too many": ("%rand_below(2)", "%rand_below(2, 2)"),
    "one that is not declared": ("%rand_below(2)", "%rpc.Headers.drop(rpc->headers)::int"),
    "one that a type is claimed for": ("%rand_below(2)", "%anything(2)::int"),
    "what only a pass makes": ("%rand_below(2)", "%waiting.min('sums')::int"),
    "what only a pass makes, of a name": ("%rand_below(2)", "%waiting.argmin('__class__')::int"),
    "trace of a number": ("%trace(format(unwrap(name), ' ', worst))", "%trace(worst)"),
    "a method of another view": ("%rpc.Headers.get(rpc->headers, 'user')", "%rpc.Headers.get(rpc, 'user')"),
    "a method of a text": ("%rpc.Headers.get(rpc->headers, 'user')", "%rpc.Headers.get('x', 'user')"),
    "a method without its view": ("%rpc.Headers.get(rpc->headers, 'user')", "%rpc.Headers.get('user')"),
    "a method with a number": ("%rpc.Headers.get(rpc->headers, 'user')", "%rpc.Headers.get(rpc->headers, 7)"),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_function_is_refused(what: str) -> None:
    assert refused("rpc", *FORGED[what])


# ---------------------------------------------------------------- what a program says it is

STAGES = {
    "a stage that is not checked": ("stage CHECKED", "stage TYPED"),
    "a stage of targets": ("stage CHECKED", "stage FLAT"),
    "a stage that there is not": ("stage CHECKED", "stage DONE"),
    "another stratum": ("stratum 'rpc'", "stratum 'llm'"),
    "a stratum that is a path": ("stratum 'rpc'", "stratum '../rpc'"),
    "a stratum that there is not": ("stratum 'rpc'", "stratum 'os'"),
    "no stratum": ("stratum 'rpc'", "stratum ''"),
    "another base class": ("base 'rpc.Element'", "base 'llm.Admission'"),
    "a base class that is no policy": ("base 'rpc.Element'", "base 'rpc.Rpc'"),
    "a base class that there is not": ("base 'rpc.Element'", "base 'rpc.Anything'"),
    "a base class of Python": ("base 'rpc.Element'", "base 'object'"),
    "a version that there is not": ("transect-ir 1", "transect-ir 2"),
}


@pytest.mark.parametrize("what", STAGES)
def test_a_program_is_what_it_says(what: str) -> None:
    assert refused("rpc", *STAGES[what])


OPTIONS = {
    "a scope that there is not": ("state total: int = 0", "state total: int = 0 scope='moon'"),
    "a merge that there is not": ("state total: int = 0", "state total: int = 0 merge='product'"),
    "a number as yes or no": ("state total: int = 0", "state total: int = 0 persist=1"),
    "a former name that is none": ("state total: int = 0", "state total: int = 0 was='a b'"),
    "an option that there is not": ("state total: int = 0", "state total: int = 0 colour='red'"),
    "a table that the operator sets": ("state sums: tally", "param sums: tally"),
}


@pytest.mark.parametrize("what", OPTIONS)
def test_an_option_of_a_field_that_no_policy_can_have_is_refused(what: str) -> None:
    assert refused("rpc", *OPTIONS[what])


# ---------------------------------------------------------------- calls that do not end

CALLS = {
    "a helper that calls itself": ("return (n + n)", "return @twice(n)"),
    "two that call each other": (
        "helper twice(n: int) -> int\n  return (n + n)",
        "helper once(n: int) -> int\n  return @twice(n)::int\nhelper twice(n: int) -> int\n  return @once(n)",
    ),
    "a helper that comes later": (
        "helper twice(n: int) -> int\n  return (n + n)",
        "helper first(n: int) -> int\n  return @twice(n)::int\nhelper twice(n: int) -> int\n  return (n + n)",
    ),
    "a hook as a helper": ("@twice(rpc->msg->n)", "@request(rpc)::int"),
    "a helper that there is not": ("@twice(rpc->msg->n)", "@thrice(rpc->msg->n)::int"),
    "too many arguments": ("@twice(rpc->msg->n)", "@twice(rpc->msg->n, 1)"),
    "no arguments": ("@twice(rpc->msg->n)", "@twice()"),
    "an argument of another type": ("@twice(rpc->msg->n)", "@twice(rpc->msg->user)"),
}


@pytest.mark.parametrize("what", CALLS)
def test_calls_end_and_fit(what: str) -> None:
    assert refused("rpc", *CALLS[what])


# ---------------------------------------------------------------- types that lie

LIES = {
    "a number as a text": ("rpc->method", "rpc->method::int"),
    "a text as a number": ("rpc->msg->n", "rpc->msg->user::int"),
    "a constant that is no text": ("'user')", "7::str)"),
    "a constant that is no number": ("store .total = 0", "store .total = 'a'::int"),
    "a constant beyond 64 bits": ("store .total = 0", "store .total = 9223372036854775808"),
    "a bool as a number": ("store .total = 0", "store .total = True::int"),
    "a float as a number": ("store .total = 0", "store .total = 0.5::int"),
    "None as a number": ("store .total = 0", "store .total = None::int"),
    "bytes as a text": ("' '", "b' '"),
    "an enum of another number": ("16::Code", "'16'::Code"),
    "a cast of a text": ("(n + n)", "cast('7')::int"),
    "a cast of a view": ("(n + n)", "cast(n)::&Rpc"),
    "a cast to a view": ("store .total = 0", "store .total = cast(rpc)::int"),
    "a cast to another union": (
        "cast(Forward{None::Duration?, None::str[64]?})::Verdict\nhandler finish",
        "cast(Retry{None::Duration?})::Verdict\nhandler finish",
    ),
    "a sum of text and number": ("(n + n)", "(n + 'n')"),
    "a comparison of text and number": ("(worst > 100)", "(worst > '100')"),
    "a comparison with another result": ("(worst > 100)", "(worst > 100)::int"),
    "a condition that is a number": ("((worst > 100) and (%rand_below(2) == 1))", "worst"),
    "a struct with too few fields": ("Seen{0, %now(), ''::str[64]}", "Seen{0, %now()}"),
    "a struct with too many": ("Seen{0, %now(), ''::str[64]}", "Seen{0, %now(), ''::str[64], 1}"),
    "a struct with a field of another type": (
        "Seen{0, %now(), ''::str[64]}",
        "Seen{'0', %now(), ''::str[64]}",
    ),
    "a struct that there is not": ("Seen{0, %now(), ''::str[64]}", "Unseen{0, %now(), ''::str[64]}"),
    "a struct as another": ("Seen{0, %now(), ''::str[64]}", "Retry{None::Duration?}::Seen"),
    "a value as an option": ("some(unwrap(name))", "unwrap(name)::str?"),
    "an option in an option": ("some(unwrap(name))", "some(some(unwrap(name)))"),
    "an option that is none": ("unwrap(name)\n  let before", "unwrap(worst)::str\n  let before"),
    "a local of another type": ("let key = unwrap(name)", "let key = worst"),
    "a key of another type": (".sums.total(key)", ".sums.total(worst)"),
    "a default of another type": (
        ".users.get_or(unwrap(name), Seen{0, %now(), ''::str[64]})",
        ".users.get_or(unwrap(name), 0)::Seen",
    ),
    "a question that a table has not": (".sums.total(key)", ".sums.first()::int"),
    "a question with a type of its own": (".sums.total(key)", ".sums.total(key)::str"),
    "an item of what is no tuple": ("(n + n)", "n#0::int"),
    "an item beyond a tuple": ("(n + n)", "[n, n]#2::int"),
    "an item before a tuple": ("(n + n)", "[n, n]#-1::int"),
    "members of what has none": ("if (not is_some(name)):", "if (name in worst):"),
    "a loop over a number": ("keys@.sums", "keys(worst)"),
    "a loop over keys and values": ("for k in keys@.sums", "for k in items@.sums"),
    "a loop over what there is not": ("keys@.sums", "keys@.nothing"),
    "a minimum of options": ("max{.sums.total(k) for", "max{name for"),
    "a result of another type": ("return None::Retry?", "return True"),
    "a result that is missing": ("return None::Retry?", "pass\nhandler other() -> int\n  pass"),
    "a hook that returns something else": ("-> Retry?", "-> int"),
    "a pattern of another type": ("case =1::Kind:", "case ='PAID':"),
    "a pattern of a struct": ("case =1::Kind:", "case Seen{}:"),
    "a pattern of a tuple": ("case =1::Kind:", "case [_, _]:"),
    "a pattern of an option": ("case =1::Kind:", "case ?_:"),
    "a text of a view": ("format(unwrap(name), ' ', worst)", "format(rpc, ' ', worst)"),
    "a text of an option": ("format(unwrap(name), ' ', worst)", "format(name, ' ', worst)"),
    "state of a view": ("state total: int = 0", "state total: int = 0\nstate kept: &Rpc"),
    "state of a sequence": ("state total: int = 0", "state total: int = 0\nstate kept: [int]"),
    "state with a default that is computed": ("state total: int = 0", "state total: int = (1 + 1)"),
    "a key that is a float": ("tally<str[64], int, 16>", "tally<float, int, 16>"),
    "a table in a table": ("tally<str[64], int, 16>", "table<str[64], tally<int, int, 4>, 16>"),
    "an identity of another stratum": (
        "state total: int = 0",
        "state total: int = 0\nstate who: #Client? = None::#Client?",
    ),
    "a read-only place": ("store (rpc->msg)->n = 1", "store (rpc)->method = 'x'"),
    "a parameter that is written": ("store .total = 0", "store .limit = 0"),
    "a counter that is stored": ("store .total = 0", "store .refused = 0"),
    "a counter that is read": ("store .total = 0", "store .total = .refused::int"),
    "a table that is stored": ("store .total = 0", "store .users = 0"),
    "a table that is read whole": ("store .total = 0", "store .total = .users::int"),
    "a field that there is not": ("store .total = 0", "store .nothing = 0"),
    "an entry of a scalar": ("store .total = 0", "store .total[1] = 0"),
    "a removal from an array": ("store .total = 0", "remove .ring[0]"),
    "a removal from what there is not": ("store .total = 0", "remove .nothing[0]"),
    "an update of a text": ("update .total + .ring.at(i)", "update .last + 'x'"),
    "an update by a text": ("update .total + .ring.at(i)", "update .total + 'x'"),
    "a field of what is no struct": ("update seen!calls + 1", "update worst!calls + 1"),
}


@pytest.mark.parametrize("what", LIES)
def test_a_type_that_lies_is_refused(what: str) -> None:
    assert refused("rpc", *LIES[what])


# ---------------------------------------------------------------- paths

PATHS = {
    "a local that is not bound": ("let worst = max", "let key = k\n  let worst = max"),
    "a local that is bound on one path": (
        "  let key = unwrap(name)\n",
        "  if (.total > 0):\n    let key = unwrap(name)\n",
    ),
    "a local that is not declared": ("let key = unwrap(name)", "let other = unwrap(name)"),
    "a break outside of a loop": ("store .total = 0", "break"),
    "a continue outside of a loop": ("store .total = 0", "continue"),
    "a path without a return": (
        "  return cast(Forward{None::Duration?, None::str[64]?})::Verdict\nhandler response",
        "handler response",
    ),
    "a hook that there is not": (
        "handler finish(",
        "handler started(rpc: &Rpc[&Ask]) -> None\n  pass\nhandler finish(",
    ),
    "a hook twice": (
        "handler finish(",
        "handler finish(rpc: &Rpc[&Ask], outcome: &Outcome) -> Retry?\n  return None::Retry?\nhandler finish(",
    ),
    "a hook with fewer parameters": ("finish(rpc: &Rpc[&Ask], outcome: &Outcome)", "finish(rpc: &Rpc[&Ask])"),
    "a hook with other parameters": ("outcome: &Outcome", "outcome: &Headers"),
    "a migration of what is no view": (
        "handler finish(",
        "handler migrate(old: int) -> None\n  pass\nhandler finish(",
    ),
    "a field twice": ("state total: int = 0", "state total: int = 0\nstate total: int = 0"),
    "a helper twice": ("helper twice(", "helper twice(n: int) -> int\n  return n\nhelper twice("),
    "a parameter twice": ("helper twice(n: int)", "helper twice(n: int, n: int)"),
    "a local twice": ("locals name: str?", "locals name: str?, name: str?"),
}


@pytest.mark.parametrize("what", PATHS)
def test_every_path_is_sound(what: str) -> None:
    assert refused("rpc", *PATHS[what])


# ---------------------------------------------------------------- sizes and nesting

SIZES = {
    "a table of nothing": ("table<str[64], Seen, 16>", "table<str[64], Seen, 0>"),
    "a table of less": ("table<str[64], Seen, 16>", "table<str[64], Seen, -1>"),
    "a table beyond memory": ("table<str[64], Seen, 16>", "table<str[64], Seen, 1000000000000>"),
    "a tally beyond memory": ("tally<str[64], int, 16>", "tally<str[64], int, 16777217>"),
    "an array of nothing": ("array<int, 8>", "array<int, 0>"),
    "an array of less": ("array<int, 8>", "array<int, -8>"),
    "an array beyond memory": ("array<int, 8>", "array<int, 100000000000>"),
    "a text of less than nothing": ("last: str[64]?", "last: str[-1]?"),
    "a text beyond memory": ("last: str[64]?", "last: str[99999999999]?"),
    "a loop beyond time": ("range(0, 8, 1, 8)", "range(0, 1000000000, 1, 1000000000)"),
    "a loop of less than nothing": ("range(0, 8, 1, 8)", "range(0, 8, 1, -1)"),
    "a loop that stands still": ("range(0, 8, 1, 8)", "range(0, 8, 0, 8)"),
    "loops within loops": (
        "      continue\n",
        "      for before in range(0, 16777216, 1, 16777216):\n"
        "        for worst in range(0, 65536, 1, 65536):\n          pass\n",
    ),
    "a loop over texts": ("range(0, 8, 1, 8)", "range('0', 8, 1, 8)"),
    "an expression beyond the stack": ("(n + n)", "(" * 5000 + "n" + " + n)" * 5000),
    "an expression that is deep": ("(n + n)", "(" * 400 + "n" + " + n)" * 400),
    "an expression that is read, and too deep": ("(n + n)", "(" * 300 + "n" + " + n)" * 300),
    "a chain beyond the stack": (
        "unwrap(name)\n  let before",
        "unwrap(" * 3000 + "name" + ")" * 3000 + "\n  let before",
    ),
    "a type beyond the stack": (
        "param limit: int",
        "state deep: " + "(" * 3000 + "int" + ")" * 3000 + "\nparam limit: int",
    ),
    "a type that is deep": (
        "param limit: int",
        "state deep: " + "(" * 40 + "int" + ",)" * 40 + "\nparam limit: int",
    ),
    "a pattern beyond the stack": ("case =1::Kind:", "case " + "[" * 3000 + "_" + "]" * 3000 + ":"),
    "a number of many digits": ("store .total = 0", "store .total = " + "9" * 5000),
    "a text with a broken escape": ("' '", r"'\x4'"),
    "a text with a surrogate's escape": ("' '", r"'\N{NO SUCH NAME}'"),
}


@pytest.mark.parametrize("what", SIZES)
def test_sizes_and_nesting_are_bounded(what: str) -> None:
    assert refused("rpc", *SIZES[what])


def test_blocks_are_bounded() -> None:
    deep = "".join("  " * n + "if (n == n):\n" for n in range(1, 2000)) + "  " * 2000 + "return n\n  return n"
    assert refused("rpc", "  return (n + n)", deep)


def test_what_is_nested_as_deeply_as_may_be_is_admitted() -> None:
    """Whatever walks an admitted program has to end with Python's own stack: also what counts its steps."""
    levels, before = MAX_DEPTH - 5, sys.getrecursionlimit()
    ifs = "".join("  " * n + "if (n == n):\n" for n in range(1, levels))
    deep = ifs + "  " * levels + "return n\n  return n"
    sys.setrecursionlimit(len(inspect.stack()) + 950)  # tests may have more than the thousand of a program
    try:
        assert admitted(SOUND["rpc"].replace("  return (n + n)", deep, 1)).stage is Stage.CHECKED
    finally:
        sys.setrecursionlimit(before)


def test_a_text_of_many_megabytes_is_refused() -> None:
    with pytest.raises(TextError, match="too large"):
        admitted(SOUND["rpc"] + "doc 'x'\n" * (1 << 20) + " " * (1 << 20))


# ---------------------------------------------------------------- views

VIEWS = {
    "rpc": {
        "a member more of the library's": ("  member peer: str", "  member peer: str\n  member handle: int"),
        "a member less of the library's": ("  member peer: str\n", ""),
        "a member of another type": ("  member peer: str", "  member peer: int"),
        "a member that may be written": ("  member peer: str", "  member peer: str writable"),
        "a view that is not declared": ("view Part 'rpc.Message'\n  member size: int writable\n", ""),
        "a view that derives from none": ("view Part 'rpc.Message'", "view Part ''"),
        "a view that derives from another stratum's": (
            "view Part 'rpc.Message'",
            "view Part 'memory.Struct'",
        ),
        "a view that derives from what is none": ("view Part 'rpc.Message'", "view Part 'rpc.Element'"),
        "a view with parameters": ("view Part 'rpc.Message'", "view Part 'rpc.Message' [M]"),
        "a view twice": ("view Part 'rpc.Message'", "view Part 'rpc.Message'\nview Part 'rpc.Message'"),
        "a table in a view": ("  member size: int writable", "  member size: table<int, int, 4>"),
        "a counter in a view": ("  member size: int writable", "  member size: Counter"),
        "a field that nobody gives": ("state total: int = 0", "state total: int = 0\ngiven waiting: [int]"),
    },
    "llm": {
        "who waits, as numbers": ("given waiting: [#Client]", "given waiting: [int]"),
        "nobody who waits": ("given waiting: [#Client]\n", ""),
        "who waits, as state": ("given waiting: [#Client]", "state waiting: int = 0"),
        "an identity that there is not": ("tally<#Client, int, 64>", "tally<#Task, int, 64>"),
        "a required hook that is missing": (
            "handler pick() -> #Client",
            "handler arrive(request: &Request) -> None",
        ),
        "a member of a request": ("  member cached: int", "  member __dict__: int"),
    },
    "cpu": {
        "a queue with members": ("view Fifo ''", "view Fifo ''\n  member size: int"),
        "a task's member that may be written": ("  member weight: int", "  member weight: int writable"),
        "a queue that nobody gives": ("given ready: &Fifo", "given ready: &Queue"),
        "state that is a queue": ("given ready: &Fifo", "state ready: &Fifo"),
        "a request with another signature": ("put(self: &Fifo, task: &Task)", "put(self: &Fifo, task: int)"),
        "a request of the kernel's": ("%cpu.Fifo.take(", "%cpu.Fifo.destroy("),
    },
    "memory": {
        "a root that nobody knows": ("%memory.tasks()", "%memory.everything()"),
        "a report with a keyword that is computed": (
            "'pid', cast(task->pid)::int",
            "cast(task->pid)::int, 'pid'",
        ),
        "a report with a keyword that is none": ("'pid', cast", "'p d', cast"),
        "a member that may be written": ("  member pid: i32", "  member pid: i32 writable"),
        "a structure without an address": ("  member address: u64\n  member pid", "  member pid"),
    },
}


@pytest.mark.parametrize(("stratum", "what"), [(s, what) for s, cases in VIEWS.items() for what in cases])
def test_views_are_the_library_s_or_derive_from_one(stratum: str, what: str) -> None:
    assert refused(stratum, *VIEWS[stratum][what])


def test_there_are_enough_of_them() -> None:
    cases = [FORGED, STAGES, CALLS, LIES, PATHS, SIZES, *VIEWS.values()]
    assert sum(map(len, cases)) + len(PLACES) * len(DUNDERS) >= 200


def test_the_interpreter_takes_no_such_name_from_a_program_that_nobody_verified() -> None:
    text = SOUND["rpc"].replace(
        "  member n: int writable", "  member n: int writable\n  member __class__: int"
    )
    with pytest.raises(Broken, match="'__class__' is no name of the language"):
        Instance(parse(text))
