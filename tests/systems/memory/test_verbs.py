# SPDX-License-Identifier: Apache-2.0
"""A grant is read by the system's verbs library: inside of a machine whose card is soft-RoCE, which reads itself."""

from __future__ import annotations

import json
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.systems.memory.guest import Guest
from tests.systems.memory.network import SOCKETS, granter, granting
from transect.base.places import place
from transect.memory.roce.verbs import library

ROOT = Path(__file__).parents[3]


@pytest.mark.needs("verbs")
@pytest.mark.parametrize("guest", ["6.12"], indirect=True)  # the cloud flavour has no soft-RoCE
def test_a_card_reads_what_was_granted_and_nothing_else(guest: Guest) -> None:
    library()  # compiled here: within the machine our files cannot be written, and belong to another user
    cache = "/tmp/cache"
    guest.shell(f"mkdir -p {cache}/transect/probes; cp {place('probes')}/verbs_* {cache}/transect/probes")
    base, read = guest.machine.where.base, guest.machine.physical.read
    with granting(guest, SOCKETS, f"peer={SOCKETS.peer} port=18515", nullcontext()) as told:
        words = [SOCKETS.peer, told, str(base), str(granter(guest))]
        env = [f"XDG_CACHE_HOME={cache}", f"PYTHONPATH={ROOT}"]
        reader = [str(guest.vm.setup.python), "-m", "tests.systems.memory.verbs_reader"]
        done = guest.vm.run(["/usr/bin/env", *env, *reader, *words], limit_s=300)
    assert done.code == 0, done.stderr.decode()
    said: dict[str, Any] = json.loads(done.text)
    places = [(base + 3000 * i, 2500) for i in range(64)] + [(base, 1 << 20)]
    assert said["read"] == zlib.crc32(b"".join(read(*place) for place in places))
    assert "no memory at physical" in said["outside"]
    assert said["key"].startswith("PeerGone: ") and "remote access error" in said["key"]
    page = zlib.crc32(read(base, 4096))
    assert said["again"] == page, "after an error there is a new connection"
    assert said["lost"].startswith("PeerGone: ") and "a READ" in said["lost"]
    assert said["found"] == page
    assert "no RDMA card leads there" in said["nobody"]
    assert said["taken back"].startswith("PeerGone: ") and "a READ" in said["taken back"]
    assert "the target does not accept the connection" in said["gone"]
    assert "the target does not accept the connection" in said["another's"]
