# SPDX-License-Identifier: Apache-2.0
"""The attack list against the Envoy module under sanitizers, in a host that plays Envoy: nothing gets by, no report."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.systems.rpc.attacks.attacks import Attack, attacks
from tests.systems.rpc.attacks.guarded import GUARD
from tests.systems.rpc.grpcio import generated
from transect.base.diagnostic import Diagnostics
from transect.core.frontend import compile_text
from transect.emit.c.toolchain import RUNTIME as C_RUNTIME
from transect.rpc.chain.binding import bind
from transect.rpc.grpcio.attach import service_of
from transect.rpc.native.build import RPC_RUNTIME
from transect.rpc.native.chain import emit_chain

pytestmark = pytest.mark.needs("gcc", "grpcio")

HERE = Path(__file__).parent
FAKE = HERE.parent / "envoy"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module around the guard, the host, and the sanitizers, in one program."""
    folder = tmp_path_factory.mktemp("sanitized")
    service = service_of(generated.modules()[0].DESCRIPTOR.services_by_name["Echo"])
    binding = bind(compile_text(GUARD).programs, service, Diagnostics())
    assert binding is not None
    emit_chain(binding).write(folder)
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-g", "-O1", "-pthread", "-ffp-contract=off"]
    flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wno-format-truncation"]
    sources = [HERE / "attacked_envoy.c", folder / "chain.c", *sorted(RPC_RUNTIME.glob("envoy_*.c"))]
    include = [f"-I{folder}", f"-I{FAKE}", f"-I{RPC_RUNTIME}", f"-I{C_RUNTIME}"]
    subprocess.run(["gcc", *flags, *include, *sources, "-o", folder / "host"], check=True)
    return folder / "host"


def packed(attack: Attack, method: str) -> bytes:
    """As the host reads it."""
    head = {
        ":method": "POST",
        ":path": f"/demo.Echo/{attack.path or method}",
        "content-type": "application/grpc",
    }
    head |= {"te": "trailers"} | attack.replaced
    pairs = [*((k, v) for k, v in head.items() if v), *attack.headers]
    out = bytearray(len(pairs).to_bytes(4, "little"))
    for text in (text for pair in pairs for text in pair):
        out += len(text.encode()).to_bytes(4, "little") + text.encode()
    out += len(attack.body).to_bytes(4, "little") + attack.body
    return bytes(out + attack.piece.to_bytes(4, "little"))


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """(flag, message) of what a server gets."""
    found = []
    while len(data) >= 5:
        size = int.from_bytes(data[1:5], "big")
        found.append((data[0], data[5 : 5 + size]))
        data = data[5 + size :]
    assert not data, "half a frame was passed on"
    return found


@pytest.mark.parametrize("method", ["Say", "Chat"])
def test_the_list_under_sanitizers(method: str, host: Path, tmp_path: Path) -> None:
    listed = attacks()
    (tmp_path / "attacks").write_bytes(b"".join(packed(attack, method) for attack in listed))
    command = [host, tmp_path / "attacks", "1" if method == "Chat" else "0"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert len(lines) == len(listed)
    ask = generated.modules()[0].Ask
    for attack, line in zip(listed, lines, strict=True):
        came = frames(bytes.fromhex(line.split(" ")[0]))
        tokens = [value for name, value in attack.headers if name == "x-token"]
        assert not came or tokens == ["right"], attack.name
        for flag, message in came:
            assert flag == 0 and ask.FromString(message).user != "mallory", attack.name
