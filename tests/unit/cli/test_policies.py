# SPDX-License-Identifier: Apache-2.0
"""Which files `transect check` reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from transect.cli.policies import declares_chain, find
from transect.core.frontend import compile_file

POLICY = "from transect.rpc import Element\n\nclass P(Element):\n    pass\n"
NEIGHBOUR = "from acl import P\n\nclass Strict(P):\n    pass\n"
QUALIFIED = "from transect import rpc\n\nclass P(rpc.Element[int]):\n    pass\n"
CHAIN = "from transect.rpc import Chain\n\nchain = Chain(service='s', elements=[])\n"
SERVICE = (
    "from transect.rpc import attach\nimport base\n\nclass Greeter(base.S):\n    pass\n\nattach(Greeter())\n"
)
EMITTED = "from transect.emit.py import runtime\nfrom transect.rpc.hooks import R\n\nclass S(runtime.S):\n    pass\n"
NO_POLICY = "from transect.rpc import attach\nfrom plain import C\n\nclass D(C):\n    pass\n"
IN_A_RING = "from strict import Strict\nfrom ring import Other\n\nclass Ring(Strict):\n    pass\n"
PLAIN = "import os\n\nclass C(os.PathLike):\n    pass\n"
BROKEN = "from transect.rpc import Element\n\nclass P(Element:\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "acl.py": POLICY,
        "strict.py": NEIGHBOUR,
        "sub/qualified.py": QUALIFIED,
        "sub/chain.py": CHAIN,
        "sub/broken.py": BROKEN,
        "ring.py": IN_A_RING,
        "server.py": SERVICE,
        "out/acl.py": EMITTED,
        "no_policy.py": NO_POLICY,
        "plain.py": PLAIN,
        "test_acl.py": POLICY,
        "acl_test.py": POLICY,
        "conftest.py": POLICY,
        "notes.txt": POLICY,
        ".hidden/acl.py": POLICY,
        "env/pyvenv.cfg": "",
        "env/lib/acl.py": POLICY,
        "__pycache__/acl.py": POLICY,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def names(root: Path, *paths: str) -> list[str]:
    return [path.relative_to(root).as_posix() for path in find(str(root / p) for p in paths).policies]


def test_a_folder_gives_the_files_that_declare_a_policy(project: Path) -> None:
    assert names(project, "") == [
        "acl.py",
        "ring.py",
        "strict.py",
        "sub/broken.py",
        "sub/chain.py",
        "sub/qualified.py",
    ]


def test_what_was_left_out_is_counted(project: Path) -> None:
    assert find([str(project)]).others == 7  # a service, emitted code, two plain files, three tests


def test_a_named_file_is_taken_at_its_word(project: Path) -> None:
    assert names(project, "server.py", "acl.py") == ["server.py", "acl.py"]


def test_a_named_test_or_a_file_without_transect_is_not_a_policy(project: Path) -> None:
    found = find([str(project / "test_acl.py"), str(project / "plain.py")])
    assert (found.policies, found.others, found.missing) == ([], 2, [])


def test_a_file_named_twice_is_read_once(project: Path) -> None:
    assert names(project, "acl.py", "", "sub").count("acl.py") == 1


def test_missing_paths_and_standard_input(tmp_path: Path) -> None:
    found = find(["-", str(tmp_path / "gone.py")])
    assert found.stdin
    assert found.missing == [str(tmp_path / "gone.py")]


def test_bytes_that_are_no_text_are_left_for_the_compiler(tmp_path: Path) -> None:
    for name, data in {
        "nul.py": b"x = 1\0",
        "latin.py": b"from transect import rpc\nclass P(rpc.E): '\xe9'\n",
    }.items():
        (tmp_path / name).write_bytes(data)
    assert [path.name for path in find([str(tmp_path)]).policies] == ["latin.py", "nul.py"]


def test_a_byte_order_mark_hides_no_import(tmp_path: Path) -> None:
    (tmp_path / "marked.py").write_bytes(
        b"\xef\xbb\xbffrom transect.rpc import Element\nclass P(Element): pass\n"
    )
    for path in (tmp_path, tmp_path / "marked.py"):
        assert [p.name for p in find([str(path)]).policies] == ["marked.py"]


def test_a_named_file_that_lacks_its_imports_is_a_policy(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text("class P(Element):\n    pass\n")
    assert [p.name for p in find([str(tmp_path / "bare.py")]).policies] == ["bare.py"]


def test_a_policy_made_of_an_example_is_one(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from transect.examples.rpc.acl import Acl\nclass P(Acl):\n    pass\n")
    assert [p.name for p in find([str(tmp_path)]).policies] == ["mine.py"]


MISTAKEN = {
    "a base that nothing defines": "from transect.rpc import Element\n\nclass A(Elemnt):\n    pass\n",
    "a base that nothing defines, of a file that only lacks the import": "class A(Element):\n    pass\n",
    "all names imported": "from transect.rpc import *\n\nclass A(Element):\n    pass\n",
    "a module imported": "import transect.rpc\n\nclass A(transect.rpc.Element):\n    pass\n",
    "a module imported by another name": "import transect.rpc as rpc\n\nclass A(rpc.Element):\n    pass\n",
    "the package imported": "import transect\n\nclass A(transect.rpc.Element):\n    pass\n",
    "a module that there is not": "from transect.rcp import Element\n\nclass A(Element):\n    pass\n",
    "a chain by another name": "from transect.rpc import Chain\n\nchian = Chain(service='s')\n",
    "an annotated chain": "from transect.rpc import Chain\n\nchain: Chain = Chain(service='s')\n",
    "a chain that is kept nowhere": "from transect.rpc import Chain\n\nChain(service='s')\n",
    "a misspelt Chain": "from transect.rpc import Chain\n\nchain = Chian(service='s')\n",
    "edges": "from transect.rpc import Chain\n\nedges = [Chain(service='s')]\n",
    "edges by another name": "from transect.rpc import Chain\n\nedgse = (Chain(service='s'),)\n",
    "edges of a misspelt Chain": "from transect.rpc import Chain\n\nedges = [Chian(service='s')]\n",
    "a misspelt package": "from trasnect.rpc import Element\n\nclass A(Element):\n    pass\n",
    "a chain of a misspelt package": "from Transect.rpc import Chain\n\nchain = Chain(service='s')\n",
    "a misspelt keyword": "form transect.rpc import Element\n\nclass A(Element):\n    pass\n",
    "an open bracket in a file that only lacks the import": "class A(Element:\n    pass\n",
}


@pytest.mark.parametrize("text", MISTAKEN.values(), ids=MISTAKEN)
def test_a_file_that_meant_to_declare_a_policy_is_not_passed_over_in_a_folder(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "mine.py").write_text(text)
    assert [path.name for path in find([str(tmp_path)]).policies] == ["mine.py"]
    compiled = compile_file(tmp_path / "mine.py")
    assert compiled.diagnostics.failed or declares_chain(text)


OTHERS = {
    "a base of a package": "from transect.rpc import attach\nfrom pb import *\n\nclass Greeter(Servicer):\n    pass\n",
    "a base made on one of two ways": (
        "from transect.lang import u64\ntry:\n    from x import B\nexcept ImportError:\n    B = object\n\n"
        "class C(B):\n    pass\n"
    ),
    "a built-in base": "from transect.rpc import attach\n\nclass Lost(Exception):\n    pass\n",
    "a chain of another sort": "from transect.rpc import attach\n\nchain = attach(channel, [])\n",
    "a base of the name of ours": "from xml.dom import Element\n\nclass Tag(Element):\n    pass\n",
    "what imports Chain and makes none": "from transect.rpc import Chain\n\ndef f(c: Chain) -> None: ...\n",
    "old Python": "import os\nprint 'of no transect'\n",
}


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS)
def test_a_file_that_has_another_purpose_is_passed_over_in_a_folder(tmp_path: Path, text: str) -> None:
    (tmp_path / "other.py").write_text(text)
    assert find([str(tmp_path)]).others == 1


@pytest.mark.parametrize(
    "line", ["from . import acl", "import acl", "from acl import P", "from .acl import P"]
)
def test_a_policy_made_of_one_beside_it_is_one(tmp_path: Path, line: str) -> None:
    (tmp_path / "acl.py").write_text(POLICY + "\nclass Plain:\n    pass\n")
    base = "P" if line.endswith("P") else "acl.P"
    (tmp_path / "mine.py").write_text(f"{line}\n\nclass A({base}):\n    pass\n")
    (tmp_path / "other.py").write_text(f"{line}\nimport acl\n\nclass A(acl.Plain):\n    pass\n")
    assert [path.name for path in find([str(tmp_path)]).policies] == ["acl.py", "mine.py"]


def test_files_that_import_each_other_are_settled_whoever_is_asked_first(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from b import B\n\nclass A(B):\n    pass\n")
    (tmp_path / "b.py").write_text(
        "from transect.rpc import Element\nfrom a import A\n\nclass B(Element):\n    pass\n"
    )
    (tmp_path / "c.py").write_text("from b import B\n\nclass C(B):\n    pass\n")
    assert [path.name for path in find([str(tmp_path)]).policies] == ["a.py", "b.py", "c.py"]


def test_many_files_that_all_import_each_other_are_each_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in range(30):
        imports = "".join(f"from m{other} import A{other}\n" for other in range(30) if other != one)
        (tmp_path / f"m{one}.py").write_text(f"{imports}\nclass A{one}(A{(one + 1) % 30}):\n    pass\n")
    read: list[Path] = []
    monkeypatch.setattr("transect.cli.declarations.head", lambda path: read.append(path) or path.read_bytes())
    assert find([str(tmp_path)]).others == 30
    assert len(read) == 30


def test_a_base_of_many_dots_is_no_fault_of_ours(tmp_path: Path) -> None:
    (tmp_path / "deep.py").write_text(
        f"from transect.rpc import Element\n\nclass A(x{'.a' * 900}):\n    pass\n"
    )
    assert [path.name for path in find([str(tmp_path)]).policies] == ["deep.py"]


def test_names_that_no_file_can_have_are_no_fault_of_ours(tmp_path: Path) -> None:
    long = "a" * 300
    (tmp_path / "mine.py").write_text(
        f"import {long}\nfrom transect.{long} import x\nfrom .{long} import y\n"
    )
    assert find([str(tmp_path), str(tmp_path / "mine.py")]).others == 1
    assert find([long]).missing == [long]


def test_a_named_file_that_is_not_python_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class A(Elemnt:\n    pass\n")
    assert [path.name for path in find([str(tmp_path / "mine.py")]).policies] == ["mine.py"]


def test_a_file_that_cannot_be_read_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> bytes:
        raise PermissionError(path)

    (tmp_path / "mine.py").write_text(POLICY)
    monkeypatch.setattr("transect.cli.declarations.head", refused)
    assert [path.name for path in find([str(tmp_path)]).policies] == ["mine.py"]


@pytest.mark.parametrize("first", ["trasnect", "Transect"])
def test_a_named_stack_of_a_misspelt_package_is_not_passed_over(tmp_path: Path, first: str) -> None:
    path = tmp_path / "shop.py"
    path.write_text(f"from {first}.stack import Stack\n\nstack = Stack()\n")
    assert find([str(path)]).policies == [path]


def test_a_package_of_another_name_is_not_taken_for_a_misspelt_one(tmp_path: Path) -> None:
    path = tmp_path / "service.py"
    path.write_text(
        "from transact import rpc\nfrom networking.rpc import Thing\n\nclass A(Thing):\n    pass\n"
    )
    assert find([str(path)]).policies == []
