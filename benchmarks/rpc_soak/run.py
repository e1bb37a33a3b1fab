# SPDX-License-Identifier: Apache-2.0
"""SECONDS (environment; 600) of calls through a chain in Envoy, as a module and as WASM, and in a grpcio client.

Each side has a load of its own: 4,000 users, messages of many sizes, streams, and calls that are cancelled or late.
What is compared is the memory of the process (its share of pages, `Pss`) in the last quarter of the time and in the
second, when tables and caches have filled.  `bare`: a grpcio client of the service itself, without a target.  The
control keeps every reply.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "rpc_python_chain")]

from children import child, line, running
from measuring import Control, Samples, begin, claim, report, result
from peers import built_server

SECONDS = int(os.environ.get("SECONDS", "600"))
EVERY_S = 2


@contextmanager
def envoy(folder: Path, carrier: str) -> Iterator[tuple[int, str]]:
    """`transect rpc run` of the chain: Envoy's process, and where it listens."""
    name = f"bench-soak-{carrier}-{os.getpid()}"
    options = ["--name", name, "--carrier", carrier, "--workers", "1"]
    with running(folder, "front.py", *options) as (process, address):
        yield below(process.pid), address


def below(pid: int) -> int:
    """The one process that another has started."""
    (found,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(found)


def memory(pid: int) -> int:
    """The process's share of memory, in kB."""
    for text in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if text.startswith("Pss:"):
            return int(text.split()[1])
    raise AssertionError("Linux tells it")


def growth(samples: list[int]) -> float:
    quarter = len(samples) // 4
    return statistics.median(samples[-quarter:]) / statistics.median(samples[quarter : 2 * quarter])


def soaked(folder: Path) -> tuple[dict[str, list[int]], dict[str, int]]:
    """kB of each side over time, and its calls."""
    with ExitStack() as stack:
        server = stack.enter_context(child(str(built_server())))
        service = f"127.0.0.1:{line(server)}"
        shutil.copy(HERE.parent / "rpc_python_chain" / "echo.proto", folder)
        chain = (HERE / "front.py").read_text()
        (folder / "front.py").write_text(chain.replace("127.0.0.1:1", service))
        envoys = {name: stack.enter_context(envoy(folder, name)) for name in ("native", "wasm")}
        sides = {name: (address, "bare") for name, (_, address) in envoys.items()}
        sides |= {"library": (service, "chain"), "bare": (service, "bare"), "leaking": (service, "leaking")}
        script = str(HERE / "load.py")
        loads = {
            name: stack.enter_context(child(sys.executable, script, *how)) for name, how in sides.items()
        }
        for load in loads.values():
            assert line(load) == "ready"
        watched = {name: envoys[name][0] if name in envoys else load.pid for name, load in loads.items()}
        seen: dict[str, list[int]] = {name: [] for name in watched}
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            time.sleep(EVERY_S)
            for name, pid in watched.items():
                seen[name].append(memory(pid))
        calls = {}
        for name, load in loads.items():
            assert load.stdin is not None
            load.stdin.close()
            calls[name] = int(line(load))
        return seen, calls


def main() -> None:
    the_claim, samples = claim(__file__), Samples()
    with tempfile.TemporaryDirectory() as folder:
        seen, calls = soaked(Path(folder))
    grown = {name: growth(values) for name, values in seen.items()}
    for key in the_claim.targets:
        samples.add(key, grown[key])
    controls = [
        Control("a client that keeps every reply", grown["leaking"] > the_claim.targets["library"].limit)
    ]
    found = result(
        the_claim,
        samples,
        controls,
        seconds=SECONDS,
        calls=calls,
        grown={name: round(value, 4) for name, value in grown.items()},
        kb_at_the_end={name: values[-1] for name, values in seen.items()},
    )
    report(found, __file__)


if __name__ == "__main__":
    begin(main)
