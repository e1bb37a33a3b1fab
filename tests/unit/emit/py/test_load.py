# SPDX-License-Identifier: Apache-2.0
"""From a class to what it means: files, texts, doctests, errors; compiled when first built, and once."""

from __future__ import annotations

import doctest
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import transect
from tests.unit.emit.py.texts import ACL, RPC
from transect.emit.py import load
from transect.lang import PolicyError


def module(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A policy file, written and imported."""
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return __import__(name)


def test_errors_are_rendered_when_the_policy_is_built() -> None:
    m = transect.load(ACL.replace("self.allowed.get", "self.alowed.get"))
    with pytest.raises(PolicyError) as raised:
        m.Acl()
    text = str(raised.value)
    assert "error[P006]: no state field `alowed`" in text
    assert "= help: write `self.allowed" in text
    assert f"{m.__file__}:12:" in text


def test_a_class_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    m = transect.load(ACL)
    first = type(m.Acl())
    monkeypatch.setattr(load, "build", None)
    assert type(m.Acl()) is first


def test_a_module_that_is_loaded_again_has_its_own_classes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one = module(tmp_path, "again_policy", ACL, monkeypatch)
    sys.modules.pop("again_policy")
    two = __import__("again_policy")
    assert isinstance(two.Acl(), two.Acl)
    assert not isinstance(two.Acl(), one.Acl)


def test_policies_inherit_from_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "parts_policy.py").write_text(
        RPC
        + """
@struct
class Bucket:
    tokens: int = 2

@helper
def least(n: int) -> int:
    return max(n, 0)

class Base(Element):
    bucket: Bucket = Bucket()
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        self.bucket.tokens = least(self.bucket.tokens - 1)
        return Forward() if self.bucket.tokens > 0 else Reject(Code.RESOURCE_EXHAUSTED, "no token")
"""
    )
    m = module(
        tmp_path,
        "own_policy",
        """\
from parts_policy import Ask, Base
from transect.rpc import Code, Forward, Reject, Rpc, Verdict

class Own(Base):
    seen: int = 0
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        self.seen += 1
        if rpc.msg.user == "root":
            return Forward()
        return super().request(rpc)
""",
        monkeypatch,
    )
    own = m.Own()
    said = [type(own.request(m.Rpc(msg=m.Ask(user=u)))).__name__ for u in ("root", "al", "al")]
    assert said == ["Forward", "Forward", "Reject"]
    assert (own.seen, repr(own.bucket)) == (3, "Bucket(tokens=0)")
    assert type(own.bucket) is sys.modules["parts_policy"].Bucket


def test_a_policy_in_a_doctest() -> None:
    text = textwrap.dedent(
        '''
        >>> acl = transect.load("""
        ... from transect.lang import Tally, tally
        ... from transect.rpc import Element, Forward, Rpc, Verdict
        ... class Count(Element):
        ...     calls: Tally[str, int] = tally(4)
        ...     def request(self, rpc: Rpc) -> Verdict:
        ...         self.calls[rpc.method] += 1
        ...         return Forward()
        ... """)
        >>> count = acl.Count()
        >>> count.request(acl.Rpc(method="/a"))
        Forward(after=None, to=None)
        >>> count
        Count(calls={'/a': 1})
        '''
    )
    test = doctest.DocTestParser().get_doctest(text, {"transect": transect}, "policy", None, 0)
    assert doctest.DocTestRunner().run(test).failed == 0


def test_a_class_without_source_says_so() -> None:
    space: dict[str, Any] = {"__name__": "nowhere"}
    exec("from transect.rpc import Element\nclass Lost(Element):\n    n: int = 0", space)
    with pytest.raises(
        PolicyError, match=r"the source text of `Lost` cannot be found; write the policy into a file"
    ):
        space["Lost"]()


def test_a_class_within_a_function_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """\
from transect.rpc import Element

def make() -> type:
    class Inner(Element):
        pass
    return Inner
"""
    m = module(tmp_path, "inner_policy", text, monkeypatch)
    with pytest.raises(PolicyError):
        m.make()()


def test_importing_a_policy_loads_no_compiler(tmp_path: Path) -> None:
    (tmp_path / "acl.py").write_text(ACL)
    probe = (
        "import sys, acl, transect\n"
        "assert not {m for m in sys.modules if m.startswith(('transect.core', 'transect.emit'))}\n"
        "acl.Acl()\n"
        "assert 'transect.core.frontend' in sys.modules\n"
        "assert not {'rich', 'typer', 'msgspec', 'z3', 'grpc'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


CHECKED = """\
from acl import Acl, Ask
from transect.lang import tape
from transect.rpc import Code, Forward, Reject, Rpc
from transect.shapes import Arbiter, Client


def test_acl() -> None:
    acl = Acl()
    acl.allowed["alice"] = True
    with tape(now=5, rand=0.5):
        assert acl.request(Rpc(msg=Ask(user="alice"), headers={"x": "1"})) == Forward()
    assert acl.request(Rpc(msg=Ask(user="bob"))) == Reject(Code.PERMISSION_DENIED, "acl")


def serve(arbiter: Arbiter) -> Client:
    arbiter.arrive(Client("alice"))
    arbiter.waiting = [Client("alice")]
    return arbiter.pick()
"""


@pytest.mark.parametrize("checker", [("mypy", "--strict"), ("pyright",)], ids=lambda c: c[0])
def test_checkers_accept_a_policy_and_its_test(checker: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "acl.py").write_text(ACL)
    (tmp_path / "test_acl.py").write_text(CHECKED)
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    tool = Path(sys.executable).with_name(checker[0])
    arguments = (
        ["--pythonpath", sys.executable]
        if checker[0] == "pyright"
        else ["--cache-dir", str(tmp_path / "cache")]
    )
    done = subprocess.run([tool, *checker[1:], *arguments, "."], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_refuses_a_field_that_a_view_lacks(tmp_path: Path) -> None:
    (tmp_path / "acl.py").write_text(ACL.replace("rpc.msg.user", "rpc.msg.usr"))
    mypy = Path(sys.executable).with_name("mypy")
    done = subprocess.run(
        [mypy, "--strict", "--cache-dir", tmp_path / "cache", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert '"Ask" has no attribute "usr"' in done.stdout
