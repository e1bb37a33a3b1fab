# SPDX-License-Identifier: Apache-2.0
"""A chain file that names its protos: the oneofs of its messages are known, where somebody assigns a member."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.rpc.wire_samples import FOLDER
from transect.rpc.chain.file import read_edges
from transect.rpc.chain.model import ChainFile
from transect.rpc.equivalence import Level, Settings, Verdict
from transect.rpc.equivalence.arrangement import Judge
from transect.rpc.equivalence.oneofs import oneofs_of
from transect.rpc.messages.protos import ProtoError

pytestmark = pytest.mark.needs("z3", "grpcio")

ELEMENTS = """
from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict

class Ask(Message):
    user: str
    word: str | None
    count: int | None

class Word(Element):
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        rpc.msg.word = "w"
        return Forward()

class Known(Element):
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        return Reject(Code.ABORTED, "who?") if rpc.msg.user == "" else Forward()

class Counted(Element):
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        return Reject(Code.ABORTED, "how many?") if rpc.msg.count is None else Forward()
"""


def chain(folder: Path, names: str, protos: str) -> ChainFile:
    (folder / "elements.py").write_text(ELEMENTS)
    path = folder / "chain.py"
    path.write_text(
        f"from elements import {names}\nfrom transect.rpc import Chain\n"
        f"chain = Chain(service='sample.Sample', upstream='127.0.0.1:1', methods=['Say'], protos=[{protos}],\n"
        f"    elements=[{', '.join(f'{name}()' for name in names.split(', '))}])\n"
    )
    read = read_edges(path)
    (found,) = read.chains
    return found


def test_the_protos_tell_which_fields_are_of_one_oneof(tmp_path: Path) -> None:
    named = chain(tmp_path, "Word, Known, Counted", f"'{FOLDER / 'sample.proto'}'")
    known = oneofs_of(named)
    assert known == (("word", "count", "person", "raw"),)
    word, user, count = (use.program for use in named.elements)
    judge = Judge(Settings(limit=20, witnesses=False)).of(known)
    assert judge.pair(word, user, False).at(Level.IDENTICAL).verdict is Verdict.PROVED
    assert judge.pair(word, count, False).at(Level.LOOSE).verdict is Verdict.UNKNOWN


@pytest.mark.needs("protoc")
def test_where_nobody_assigns_a_member_nothing_is_read(tmp_path: Path) -> None:
    assert oneofs_of(chain(tmp_path, "Known, Counted", "'none.proto'")) is None
    with pytest.raises(ProtoError, match="there is no file"):
        oneofs_of(chain(tmp_path, "Word, Counted", "'none.proto'"))
