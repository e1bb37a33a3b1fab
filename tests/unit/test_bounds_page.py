# SPDX-License-Identifier: Apache-2.0
"""Nothing is read to an end that somebody else decides, and docs/design/bounds.md says how much is.

Every place in the sources that reads all there is, is named here with the reason why it may; a new one fails this test
until it has a bound (`base/bounded.py`, `base/programs.py`) or a reason.  The page's figures are those of the code.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import transect
from tests.parts import ROOT
from tests.unit.sources import parts

SOURCES = Path(transect.__file__).parent
PAGE = ROOT / "docs" / "design" / "bounds.md"

WHOLE = {"read_text", "read_bytes", "readlines", "communicate", "copyfileobj"}  # however they are called
TO_THE_END = {"read", "readline"}  # without a number of bytes
STREAMS = {"sys.stdin", "file", "log", "pipe", "stream"}  # by what ours are called
LOADS = {"json.load", "tomllib.load", "sys.stdin", "subprocess.check_output", "subprocess.getoutput"}

MAY_STAY = {
    "it is the mechanism": """
        base/bounded.py:opened
        base/programs.py:ran
    """,
    "the file comes with transect, or lies in the checkout that is measured": """
        cli/claims.py:_claim
        cli/memory/watching.py:_run
        cli/new.py:_filled
        control/pages.py:html
        cpu/hints/target_c.py:HintsC.emit
        cpu/hints/target_py.py:HintsPython.emit
        cpu/program.py:runtime
        emit/c/emitter.py:runtime
        emit/c/toolchain.py:shared_object
        emit/wasm/emitter.py:fixed
        emit/wasm/emitter.py:libc
        errors/__init__.py:page
        errors/__init__.py:titles
        llm/native.py:_built
        llm/simulator/trace.py:published
        memory/chaser/engine.py:towards
        memory/native/build.py:library
        memory/p4/compiled.py:text
        memory/roce/verbs.py:library
        memory/standard.py:named
        rpc/grpcio/native.py:compiled
        rpc/native/build.py:_layout
        rpc/native/build.py:envoy_module
        rpc/native/chain.py:emit_chain
        rpc/placement/null.py:null
        rpc/wasm/build.py:fixed_files
    """,
    "the file is in the cache: only its user and root can have written it, and it has been looked at": """
        base/cache.py:Folder.plain
    """,
    "the file is the kernel's own": """
        cli/machine.py:_sched_ext
        cpu/kernel.py:_hertz
        cpu/ring.py:possible
        rpc/placement/calibrate.py:cpu_ns
        vm/accelerator.py:_host_boot
        vm/runtime/agent.py:port
    """,
    "it is a message of gRPC, which gRPC itself has bounded": """
        rpc/grpcio/aio_context.py:Context._ended
        rpc/grpcio/aio_context.py:Context._received
        rpc/grpcio/aio_streams.py:_ManyReplies.read
    """,
    "who sends it is the process of ours that has started this one": """
        cpu/guest.py:main
        rpc/grpcio/trial.py:
    """,
    "what comes through the pipe is read in pieces, or as much as is wanted": """
        base/children.py:start
        cli/claims.py:_ran
        control/shadow.py:_process
        replay/following.py:Following.__init__
        rpc/placement/calibrate.py:serving
        stack/process.py:Process.begin
        vm/runtime/agent.py:Agent.start
    """,
    "it is copied in pieces, from disk to disk": """
        rpc/run.py:kept_log
    """,
    "it is a method of our own, of a text that has been read": """
        rpc/chain/file.py:read_edges
        stack/file.py:read_stack
    """,
}


def asked(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(function, expression) of everything that reads to an end, opens a file to read, or listens to a child."""
    for where, node in parts(tree):
        if isinstance(node, ast.Call) and _reads(node):
            yield where, ast.unparse(node)[:100]
        if isinstance(node, ast.For | ast.comprehension) and ast.unparse(node.iter) in STREAMS:
            yield where, f"for … in {ast.unparse(node.iter)}"


def _reads(call: ast.Call) -> bool:
    if ast.unparse(call.func) in LOADS:
        return True
    if any(k.arg == "capture_output" or ast.unparse(k.value).endswith("PIPE") for k in call.keywords):
        return True
    match call.func:
        case ast.Attribute(attr=name) if name in TO_THE_END:
            return not call.args or ast.unparse(call.args[0]) == "-1"
        case ast.Attribute(attr="open", value=ast.Name(id="os")):
            return False  # a descriptor: what is read from it is seen at its `read`
        case ast.Attribute(attr="open") | ast.Name(id="open"):
            return _to_read(call)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name in WHOLE
        case _:
            return False


def _to_read(call: ast.Call) -> bool:
    """Whether a call of `open` is one of a file, to read."""
    modes = [
        *call.args[isinstance(call.func, ast.Name) :][:1],
        *(k.value for k in call.keywords if k.arg == "mode"),
    ]
    if not modes:
        return isinstance(call.func, ast.Name) or any(k.arg in ("newline", "encoding") for k in call.keywords)
    return not (isinstance(modes[0], ast.Constant) and set(str(modes[0].value)) & set("wax"))


@cache
def found() -> dict[str, list[str]]:
    places: dict[str, list[str]] = {}
    for path in sorted(SOURCES.rglob("*.py")):
        for where, call in asked(ast.parse(path.read_text())):
            places.setdefault(f"{path.relative_to(SOURCES)}:{where}", []).append(call)
    return places


def reasons() -> dict[str, str]:
    return {place: reason for reason, places in MAY_STAY.items() for place in places.split()}


def test_whatever_is_read_to_its_end_has_a_reason() -> None:
    unknown = {place: calls for place, calls in found().items() if place not in reasons()}
    assert not unknown, "read it by base/bounded.py or base/programs.py, or say in MAY_STAY why it may stay"


def test_no_reason_is_left_over() -> None:
    assert set(reasons()) <= set(found())
    assert sum(len(places.split()) for places in MAY_STAY.values()) == len(reasons())


@pytest.mark.parametrize(
    "text",
    [
        "def f(x): return x.read()",
        "def f(x): return x.read(-1)",
        "def f(x): return x.readline()",
        "def f(x): return x.read_text(encoding='utf-8')",
        "def f(x): return Path(x).read_bytes()",
        "def f(x): return open(x)",
        "def f(x): return open(x, 'rb')",
        "def f(x): return x.open('rb')",
        "def f(x, mode): return x.open(mode)",
        "def f(x): return x.open(encoding='utf-8')",
        "def f(x): return json.load(x)",
        "def f(x): return x.communicate(timeout=3)",
        "def f(x): return subprocess.run(x, capture_output=True)",
        "def f(x): return subprocess.Popen(x, stdout=subprocess.PIPE)",
        "def f(): return [x for x in sys.stdin]",
        "def f(pipe):\n    for line in pipe:\n        g(line)",
    ],
)
def test_such_a_reader_is_seen(text: str) -> None:
    assert list(asked(ast.parse(text)))


@pytest.mark.parametrize(
    "text",
    [
        "x.read(4)",
        "x.readline(9)",
        "open(x, 'w')",
        "x.open('ab')",
        "x.open()",
        "os.open(x, 3)",
        "json.loads(x)",
    ],
)
def test_others_are_not(text: str) -> None:
    assert not list(asked(ast.parse(text)))


# ---------------------------------------------------------------- the page

FIGURE = re.compile(
    r"(?P<number>[\d,]+(?:\.\d+)?)(?: (?P<unit>KiB|MiB|GiB|[a-z]+))?(?: [a-z]+)* "
    r"\(`(?P<path>[a-z0-9_/]+)\.(?P<name>\w+)`\)"
)  # 4 MiB (`base/bounded.SOURCE`)
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
CALLS = "first|head|in_time|lines|ran|tail|whole|opened"
USES = re.compile(rf"from transect\.base\.(?:bounded|programs) import [^\n]*\b(?:{CALLS})\b")


def figures() -> list[tuple[str, str, float]]:
    """(module, constant, value) of every figure on the page."""
    return [
        (f["path"], f["name"], float(f["number"].replace(",", "")) * UNITS.get(f["unit"], 1))
        for f in FIGURE.finditer(PAGE.read_text())
    ]


@pytest.mark.parametrize(("path", "name", "said"), figures())
def test_the_figures_of_the_page_are_those_of_the_code(path: str, name: str, said: float) -> None:
    module = vars(importlib.import_module(f"transect.{path.replace('/', '.')}"))
    owner, _, field = name.rpartition("__")  # `Limits__head_s`: what the configuration has by default
    assert (getattr(module[owner](), field) if owner else module[name]) == said


def test_every_constant_on_the_page_has_its_figure_beside_it() -> None:
    named = re.findall(r"\(`([a-z0-9_/]+)\.(\w+)`\)", PAGE.read_text())
    assert named == [(path, name) for path, name, _ in figures()]
    assert len(named) > 60


def test_every_module_that_reads_is_on_the_page() -> None:
    text = PAGE.read_text()
    readers = [path.relative_to(SOURCES) for path in SOURCES.rglob("*.py") if USES.search(path.read_text())]
    assert len(readers) > 30
    assert not [str(r) for r in readers if f"`{r.with_suffix('')}`" not in text]
    assert not [r for r in re.findall(r"`([a-z]+/[a-z0-9_/]+)`", text) if not (SOURCES / f"{r}.py").is_file()]
