# SPDX-License-Identifier: Apache-2.0
"""`memory.chaser`: hops per second of a walk over a machine's tasks, in the network / from user space; one chain, and
eight at once; and the packets that user space handles for a walk.

A virtual machine grants its memory over soft-RoCE on a tap interface.  In the network: the XDP program of
`transect.memory.chaser`.  From user space: the leanest client that Python has (a socket; each answer is checked as the
requester checks it, its pointer taken, the next READ sent), with as many chains in flight.  Both read the same bytes of
the same tasks, keep them, and check the back pointers.  Needs root.
"""

from __future__ import annotations

import statistics
import struct
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent.parent), str(ROOT)]

from measuring import Control, Samples, begin, claim, interleaved, report, result

from tests.systems.memory.guest import booted
from tests.systems.memory.network import Network, Tapped, tapped
from transect.memory.chaser.chased import Chased
from transect.memory.chaser.steps import Chain, Status
from transect.memory.chaser.walker import Places, Walker
from transect.memory.chaser.xdp import Xdp
from transect.memory.roce.packet import PSNS, Opcode, answer, read_request
from transect.memory.standard import standard

ROUNDS = 41
WALKS = 4  # of each side in a round
QUIET_S = 0.5


class Client:
    """Walks from user space."""

    def __init__(self, network: Xdp, chain: Chain) -> None:
        self.network, self.chain = network, chain
        self.head, self.element = chain.steps
        self.places = Places.of(network.machine)
        self.psn = {slot: network.learn(slot) for slot in range(8)}

    def send(self, slot: int, address: int, length: int) -> None:
        grant = self.network.grant
        packet = read_request(
            self.network.transport.ends, grant.pairs[slot], self.psn[slot], address, grant.key, length
        )
        self.network.transport.send(packet)

    def run(self, chains: int) -> tuple[int, float]:
        """Hops, and seconds."""
        network, element = self.network, self.element
        transport, first = network.transport, network.grant.first_peer_pair
        began, hops = time.perf_counter(), 0
        walker = Walker(self.chain, self.places)
        start, end = network.grant.linear + walker.wanted[0], self.chain.registers[0] + self.head.offset
        asked = {slot: (start, self.head.length, end, 0) for slot in range(chains)}
        kept: dict[int, list[bytes]] = {slot: [] for slot in asked}
        assert element.check is not None
        link = element.check[0] - 8
        for slot in asked:
            self.send(slot, *asked[slot][:2])
        quiet = time.monotonic()
        while asked:
            packet = transport.receive(QUIET_S)
            found = answer(transport.ends, packet) if packet else None
            slot = found.pair - first if found is not None else -1
            if found is None or found.opcode != Opcode.ONLY or slot not in asked:
                if time.monotonic() - quiet > QUIET_S:
                    for late in asked:
                        self.send(late, *asked[late][:2])
                    quiet = time.monotonic()
                continue
            _, length, at, before = asked[slot]
            if found.psn != self.psn[slot] or len(found.payload) != length:
                continue
            hops, quiet = hops + 1, time.monotonic()
            self.psn[slot] = (self.psn[slot] + 1) % PSNS
            if before:
                after, back = struct.unpack_from("<QQ", found.payload, link)
                assert back == before, "the list changed"
                kept[slot].append(found.payload)
            else:
                after = int.from_bytes(found.payload[:8], "little")
            if after == end:
                del asked[slot]
                continue
            asked[slot] = self._next(after), element.length, after, at
            self.send(slot, *asked[slot][:2])
        return hops, time.perf_counter() - began

    def _next(self, link: int) -> int:
        """The address, as the peer counts, that the READ of the element with that link asks for."""
        address, places = link + self.element.offset, self.places
        if places.linear <= address < places.linear + places.top:
            return self.network.grant.linear + address - places.linear
        return self.network.grant.linear + places.base + address - places.image


def rate(of: list[tuple[int, float]]) -> float:
    return sum(hops for hops, _ in of) / sum(seconds for _, seconds in of)


def measure(guest: Tapped) -> tuple[Samples, list[int]]:
    packets: list[int] = []
    with Xdp(guest.machine, guest.interface) as network:
        chain = Chased.of(standard()["ProcessList"], guest.machine, network).lowered[0].chain
        client = Client(network, chain)

        def chased(chains: int) -> tuple[int, float]:
            began = time.perf_counter()
            outcomes = network.run([chain] * chains)
            seconds = time.perf_counter() - began
            assert all(o.status is Status.FINISHED for o in outcomes), outcomes
            packets.extend(o.packets for o in outcomes)
            return sum(o.hops for o in outcomes), seconds

        def ours() -> dict[str, float]:
            return {k: rate([chased(n) for _ in range(WALKS)]) for k, n in (("one", 1), ("eight", 8))}

        def theirs() -> dict[str, float]:
            return {k: rate([client.run(n) for _ in range(WALKS)]) for k, n in (("one", 1), ("eight", 8))}

        ours(), theirs()
        packets.clear()
        samples = interleaved(ours, theirs, ROUNDS)
    each = len(packets) // ROUNDS
    for at in range(0, len(packets), each):
        samples.add("packets", statistics.median(packets[at : at + each]))
    return samples, packets


def main() -> None:
    the_claim = claim(__file__)
    with (
        tempfile.TemporaryDirectory() as folder,
        Network() as network,
        booted("6.12", Path(folder) / "tamper", ready_s=450, network=network) as booting,
        tapped(booting) as guest,
    ):
        samples, packets = measure(guest)
        release = guest.machine.known.release
    toy = statistics.median(samples.aa["one"])  # user space against user space
    controls = [Control("every hop in user space", not the_claim.targets["one"].met(toy))]
    more = {
        "guest": release,
        "walks": len(packets),
        "with_more_than_two_packets": sum(p > 2 for p in packets),
    }
    report(result(the_claim, samples, controls, **more), __file__)


if __name__ == "__main__":
    begin(main)
