# SPDX-License-Identifier: Apache-2.0
"""The text of an emitted policy: what it looks like, and that it runs alone, in every Python that runs here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from tests.parts import ROOT, need
from tests.unit.emit.py.policies import EXAMPLES
from tests.unit.emit.py.texts import ACL, EVERYTHING, FAIR_SHARE
from transect import __version__
from transect.core.frontend import compile_file, compile_text
from transect.emit.py import emitter
from transect.emit.py.text import text_of

POLICIES = {"acl": ACL, "fair_share": FAIR_SHARE, "everything": EVERYTHING}


def emitted(text: str, name: str) -> str:
    (program,) = compile_text(text, f"{name}.py").programs
    return text_of(program, "0")


@pytest.mark.parametrize("name", POLICIES)
def test_the_text_is_the_golden_file(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"py/{name}.py", emitted(POLICIES[name], name))


@pytest.mark.parametrize("version", ["3.11", "3.13"])
def test_the_text_runs_alone(version: str, tmp_path: Path) -> None:
    """The golden texts, the same in both Pythons, in a folder where the policies are not."""
    python = str(need(f"python{version}"))
    for name in POLICIES:
        (tmp_path / f"{name}_emitted.py").write_text((ROOT / "tests/golden/py" / f"{name}.py").read_text())
    done = subprocess.run(
        [python, "-c", RUN],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        "Acl(allowed={'alice': True})",
        "Forward(after=None, to=None)",
        "Reject(code=<Code.PERMISSION_DENIED: 7>, message='acl')",
        "FairShare(waiting=['b', 'a'], served={'a': 5, 'b': 2}, level=2)",
    ]


RUN = """\
import json
from acl_emitted import Acl
from fair_share_emitted import FairShare
from everything_emitted import P
from transect.rpc import Message, Rpc

class Ask(Message):
    user: str

acl = Acl(allowed={"alice": True})
fair = FairShare(served={"a": 5, "b": 2})
fair.waiting = ["b", "a"]
assert fair.pick() == "b"
P()
print(json.dumps([repr(acl), *(repr(acl.request(Rpc(msg=Ask(user=u)))) for u in ("alice", "bob")), repr(fair)]))
"""


# Without pytest, which the second Python may not have.
PRINT = """\
from tests.unit.emit.py.texts import ACL, EVERYTHING, FAIR_SHARE
from transect.core.frontend import compile_text
from transect.emit.py.text import text_of
for text in (ACL, FAIR_SHARE, EVERYTHING):
    print(text_of(compile_text(text, "policy.py").programs[0], "0"))
"""


@pytest.mark.needs("python3.13")
def test_both_pythons_write_the_same_text() -> None:
    texts = {
        subprocess.run(
            [str(python), "-c", PRINT],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": "src:."},
        ).stdout
        for python in (sys.executable, need("python3.13"))
    }
    assert len(texts) == 1 and "class PState" in texts.pop()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_every_example_has_a_text_that_python_reads(path: Path) -> None:
    for program in compile_file(path).programs:
        artifact = emitter.emit(program)
        ((name, content),) = artifact.files.items()
        assert name == f"{program.name.lower()}.py"
        assert content.decode().startswith(f'"""Policy {program.name} from {path.name}, line ')
        assert f"Emitted by transect {__version__}." in content.decode()
        compile(content, name, "exec")
        assert emitter.refuses(program) == []


def test_the_version_is_that_of_the_package() -> None:
    assert __version__ == metadata.version("transect")


def test_an_artifact_is_written_below_the_folder(tmp_path: Path) -> None:
    (program,) = compile_text(ACL).programs
    (path,) = emitter.emit(program).write(tmp_path / "new")
    assert path == tmp_path / "new" / "acl.py"
    assert path.read_text().endswith(")\n")
