# SPDX-License-Identifier: Apache-2.0
"""Runs in the machine: puts two versions in force by turns, and stores the same version again between, under load.

swaps.py SHIM ONE OTHER ANEW COUNT       prints JSON: when both kinds of stores were (ns), counts lost, CPU time
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from transect.cpu.built import Built
from transect.cpu.kernel import Force, quiet
from transect.cpu.ring import first_of_all
from transect.cpu.version import Version

PAUSE_S = 0.02
STILL_S = 4  # without any store, for comparison
BEGUN_NS = 500_000_000  # CPU time after which a hog has started for certain
LOOK = 20  # stores from one look at the counts to the next
HOG = "while :; do :; done"


def ran(process: subprocess.Popen[bytes]) -> int:
    """CPU time so far, ns."""
    return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0])


def counts(version: Version) -> tuple[int, int]:
    """Runs begun, as the policy counts them in two ways."""
    words = version.words()
    fields = {p.field: words[p.word : p.word + p.words] for p in version.built.places}
    return fields["begun"][0], sum(fields["on"])


def lost(version: Version, before: int) -> int:
    """Counts that are gone.  Calls under way make the two counts differ, too, but not in every one of several looks."""
    looks = []
    for _ in range(20):
        begun, on = counts(version)
        looks.append(abs(begun - on) + max(0, before - begun))
        time.sleep(0.001)
    return min(looks)


def main() -> None:
    shim, *objects, count = sys.argv[1:]
    one, other, anew = (Built.read(Path(path)) for path in objects)
    first_of_all()
    force = Force(Path(shim))
    versions = [force.load(one)]
    force.activate(versions[0])
    versions.append(force.load(other))
    bound = ["taskset", "-c", "1"]
    hogs = [subprocess.Popen([*bound, *nice, "sh", "-c", HOG]) for nice in ([], ["nice", "-n", "5"])]
    with open("/run/lateness", "wb") as lateness:
        late = subprocess.Popen(["taskset", "-c", "0", os.environ["LATE"]], stdout=lateness)
    while min(map(ran, hogs)) < BEGUN_NS:
        time.sleep(0.1)
    swaps, stores, missing = list[int](), list[int](), 0
    still = [ran(hog) for hog in hogs]
    time.sleep(STILL_S)
    began, used = counts(versions[0])[0], [ran(hog) for hog in hogs]
    for number in range(2 * int(count)):
        time.sleep(PAUSE_S)
        force.check()
        before, _ = counts(versions[0])
        at = time.monotonic_ns()
        active = versions[(number + 1) // 2 % 2]
        force.activate(active)
        (swaps if number % 2 else stores).append(at)
        if number % LOOK == LOOK - 1:  # after a swap
            quiet()
            missing += lost(active, before)
    after = [ran(hog) for hog in hogs]
    late.terminate()
    late.wait()
    printed = Path("/run/lateness").read_text().split()
    begun, _ = counts(versions[0])
    fresh = force.load(anew)  # the control: nothing is carried over
    force.activate(fresh)
    quiet()
    toy = lost(fresh, begun)
    for hog in hogs:
        hog.kill()
    force.close()
    print(json.dumps({
        "swaps": swaps, "stores": stores, "lost": missing, "toy": toy, "begun": begun - began,
        "ran": [b - a for a, b in zip(used, after, strict=True)],
        "still": [b - a for a, b in zip(still, used, strict=True)],
        "due": list(map(int, printed[::2])), "late": list(map(int, printed[1::2])),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
