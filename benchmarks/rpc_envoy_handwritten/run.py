# SPDX-License-Identifier: Apache-2.0
"""An access list on a body field in Envoy: emitted from a policy, beside one written by hand in C for this Envoy.

The first of the four pairs of `rpc.handwritten`, alone and with more rounds.  Control: the hand-written one that also
spins for 60 µs.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from envoy_sides import sides
from measuring import Control, begin, claim, interleaved, report, result
from rpc_handwritten.run import PAIRS, body, by_hand, emitted

from transect.rpc.envoy import find

ROUNDS = 61


def main() -> None:
    the_claim, acl = claim(__file__), PAIRS[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        modules = [emitted(acl, folder), by_hand(acl, folder), by_hand(acl, folder, "-DSLOW")]
        with sides([[module] for module in modules], folder, body("alice")) as it:
            for which in range(len(modules)):
                it.ask(which, 300)  # connections, caches
            samples = interleaved(it.side(0), it.side(1), ROUNDS)
            toy = interleaved(it.side(2), it.side(1), ROUNDS // 4)
        binary = find()
    fails = all(not the_claim.targets[k].met(statistics.median(v)) for k, v in toy.values.items())
    controls = [Control("the hand-written one with 60 µs more", fails)]
    about = f"{binary.version}, module ABI {binary.abi}"
    report(result(the_claim, samples, controls, envoy=about, load=os.getloadavg()[0]), __file__)


if __name__ == "__main__":
    begin(main)
