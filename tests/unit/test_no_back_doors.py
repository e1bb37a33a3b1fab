# SPDX-License-Identifier: Apache-2.0
"""No code runs, and no name is looked up, because a file says so.

Every place in the sources that evaluates text, loads code, or looks something up by a computed name is named here, with
the reason why it may stay.  A new one fails this test until its reason is known.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import transect
from tests.unit.sources import parts

SOURCES = Path(transect.__file__).parent

RUNS = {"eval", "exec", "compile", "__import__", "import_module", "exec_module", "CDLL", "PyDLL"}
LOOKS_UP = {"getattr", "setattr", "delattr"}
MAKES_LOOK_UPS = {"attrgetter", "methodcaller"}
AMBIGUOUS = {"eval", "exec", "compile", *LOOKS_UP}  # methods of others have these names, too
NEVER = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}  # modules whose readers run what they read

MAY_STAY = {
    "the name comes from the fields of a class of ours, by `dataclasses.fields`, slots or a constant table": """
        analysis/expressions.py:_become
        analysis/summary.py:_spelt
        analysis/translation.py:Translation._one
        analysis/translation.py:Translation._wrapped
        base/record.py:_key
        base/record.py:_shared
        base/record.py:_shared.__repr__
        core/effects.py:Effects.__or__
        core/rules.py:Scope.within
        core/schema.py:_field_json
        core/text_dump.py:_options
        core/upgrade.py:_changed
        core/walk.py:children
        core/walk.py:map_children
        cpu/check.py:_field
        emit/c/tree.py:children
        emit/py/build.py:_imported
        emit/py/literals.py:type_literal
        emit/py/positions.py:Places.put
        linux/libbpf.py:_library
        llm/adapter.py:Chooser._defined
        llm/lemma/symbolic.py:Handlers.__init__
        llm/native.py:
        replay/queues.py:QueueRecording._arguments
        llm/record.py:Recording.through
        llm/gateway/share.py:Shared.attach
        llm/simulator/calibrate.py:_data
        llm/simulator/model.py:Times.scaled
        llm/simulator/perturbed.py:summary.spread
        rpc/envoy/upgrading.py:Upgrades._chain
        rpc/grpcio/aio_server.py:wrapped
        rpc/grpcio/knowing.py:Knowing._wrap
        rpc/grpcio/knowing.py:KnowingAio._wrap
        rpc/grpcio/knowing.py:_rewritten
        rpc/grpcio/server.py:must_be_fresh
        rpc/grpcio/server.py:rebuilt
        rpc/grpcio/server.py:wrapped
        rpc/grpcio/stubs.py:Stubs._wrap
        rpc/grpcio/turns.py:Turns._wrap
        rpc/versions/processor.py:verbs_of_part
        stack/parts.py:_front
        stack/parts.py:_gateway
    """,
    "the name is a field of a struct, and is looked for among the fields of the value's own class": """
        core/values.py:_struct.store
        core/values.py:copied
        core/values.py:field_of
        core/values.py:replaced
        core/values.py:struct_fields
    """,
    "the name is one that the program declares, in a table made when the program was verified": """
        core/interp.py:Instance.__init__
        core/interp.py:Run.outside
        core/interp.py:Run.store
        core/interp.py:Run.update
        cpu/replay.py:Player.__init__
        cpu/replay.py:Player._hook
        emit/c/driver.py:argument
        emit/py/build.py:build
        emit/py/carried.py:carry_locals
        emit/py/image.py:_slot
        emit/py/image.py:restore
        emit/py/policy.py:_Attribute.__get__
        emit/py/policy.py:_Attribute._set
        emit/py/policy.py:_local_class.__init__
        emit/py/policy.py:policy.__init__
        emit/py/policy.py:policy.__repr__
        emit/py/state.py:Outside.call
        emit/py/state.py:fresh_state
        llm/adapter.py:Chooser.counter
        llm/native.py:NativePolicy.__init__
        llm/native.py:_function
        replay/queues.py:Recorded.__init__
        llm/service.py:Service.move_counter
        memory/native/probes.py:NativeProbe.__init__
        memory/native/probes.py:NativeProbe._answered
        memory/scan.py:prepare
        memory/views.py:Views._bind
        rpc/arbiter.py:Queue._forget
        demos/rpc.py:_policies
        rpc/chain/python.py:Emitted.call
        rpc/chain/views.py:ViewClasses._fill
    """,
    "the name comes from a term of the prover, made of a checked program's own fields": """
        analysis/views.py:Outside.see
        analysis/views.py:Outside.told
        rpc/equivalence/any_service.py:AnyMessage.__setattr__
    """,
    "an attribute that somebody's code asks for is passed on to the object that is wrapped": """
        llm/gateway/corked.py:Corked.__getattr__
        replay/queues.py:Recorded.__getattr__
        rpc/grpcio/context.py:Passing.__getattr__
        rpc/grpcio/ending.py:Failed.__getattr__
        rpc/grpcio/knowing.py:KnownAio.__getattr__
        rpc/grpcio/server.py:Incoming.__getattr__
    """,
    "the module is one of a constant table, imported when it is first needed": """
        __init__.py:compile_class
        __init__.py:load
        cli/app.py:_verb
        cli/decoders.py:decoder
        core/frontend/hashing.py:_implementation
        core/stratum_functions.py:_functions
        cpu/__init__.py:__getattr__
        rpc/__init__.py:__getattr__
    """,
    "it runs code that was made here from a checked program, or from the fields of a class of ours": """
        base/record.py:_constructor
        emit/py/build.py:_like
        emit/py/build.py:code_of
    """,
    "the text is Python of the process that asks: its own class, or a text that it gives": """
        emit/py/load.py:load_text
        lang/policy.py:Policy.__init_subclass__
        lang/policy.py:View.__init__
        lang/policy.py:_copier.copy
        lang/policy.py:struct
        lang/zeros.py:_resolved
    """,
    "the name is a parameter that `control/params.py` found among those that the policy declares": """
        rpc/grpcio/standing.py:Standing.set.change
    """,
    "the code is thrown away unrun: asked for are the mistakes that only Python's compiler finds": """
        core/frontend/source.py:check_compiles
    """,
    "it is a function of that file, which runs the C compiler": """
        emit/toolchain.py:_objects
        emit/toolchain.py:kept
    """,
    "the library was compiled here; `base/cache.py` says whether what is loaded is that": """
        llm/native.py:_library
        memory/native/build.py:loaded
        rpc/grpcio/native.py:load
        rpc/grpcio/trial.py:run
    """,
}


def asked(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(function, call) of everything that runs text or code, or looks up a name that is no constant."""
    for where, node in parts(tree):
        if isinstance(node, ast.Call) and _computed(node):
            yield where, ast.unparse(node)[:100]


def _computed(call: ast.Call) -> bool:
    match call.func:
        case ast.Name(id=name):
            pass
        case ast.Attribute(value=owner, attr=name) if (
            name not in AMBIGUOUS or ast.unparse(owner) == "builtins"
        ):
            pass
        case _:
            return False
    if name in LOOKS_UP:
        return len(call.args) > 1 and not isinstance(call.args[1], ast.Constant)
    return name in RUNS | MAKES_LOOK_UPS and not all(isinstance(a, ast.Constant) for a in call.args)


@cache
def trees() -> dict[str, ast.Module]:
    """Every source file, parsed."""
    return {str(p.relative_to(SOURCES)): ast.parse(p.read_text()) for p in sorted(SOURCES.rglob("*.py"))}


@pytest.fixture(scope="module")
def found() -> dict[str, list[str]]:
    places: dict[str, list[str]] = {}
    for path, tree in trees().items():
        for where, call in asked(tree):
            places.setdefault(f"{path}:{where}", []).append(call)
    return places


def reasons() -> dict[str, str]:
    return {place: reason for reason, places in MAY_STAY.items() for place in places.split()}


def test_whatever_runs_or_looks_up_what_is_computed_has_a_reason(found: dict[str, list[str]]) -> None:
    unknown = {place: calls for place, calls in found.items() if place not in reasons()}
    assert not unknown, (
        "say in MAY_STAY why these may stay, or look the name up in a table of what is declared"
    )


def test_no_reason_is_left_over(found: dict[str, list[str]]) -> None:
    assert set(reasons()) <= set(found)
    assert sum(len(places.split()) for places in MAY_STAY.values()) == len(reasons())


def test_nothing_is_read_that_runs_what_it_reads() -> None:
    imports = {
        (path, name)
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        if name.split(".")[0] in NEVER
    }
    assert not imports


def test_no_shell_is_asked() -> None:
    shells = [
        (path, node.lineno)
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (
            any(
                k.arg == "shell" and not (isinstance(k.value, ast.Constant) and k.value.value is False)
                for k in node.keywords
            )
            or ast.unparse(node.func) in ("os.system", "os.popen")
        )
    ]
    assert not shells


@pytest.mark.parametrize(
    "text",
    [
        "def f(x, name): return getattr(x, name)",
        "def f(x): return eval(x)",
        "def f(x): exec(x)",
        "def f(x): return builtins.eval(x)",
        "def f(x): return operator.attrgetter(x)",
        "def f(x): return importlib.import_module(x)",
        "def f(x): return ctypes.CDLL(str(x))",
    ],
)
def test_such_a_call_is_seen(text: str) -> None:
    assert list(asked(ast.parse(text)))


@pytest.mark.parametrize("text", ["getattr(x, 'a', None)", "re.compile(x)", "x.getattr(y)", "f(eval)"])
def test_others_are_not(text: str) -> None:
    assert not list(asked(ast.parse(text)))
