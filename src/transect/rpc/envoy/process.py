# SPDX-License-Identifier: Apache-2.0
"""An Envoy as a child process: started in a session of its own, ready when it serves, stopped by its own pid, and
killed when we are."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from transect.base import children
from transect.base.bounded import in_time, tail
from transect.base.unavailable import Unavailable
from transect.rpc.chain.address import Endpoint
from transect.rpc.envoy.binary import Binary
from transect.rpc.envoy.config import to_json

SEARCH_PATH = "ENVOY_DYNAMIC_MODULES_SEARCH_PATH"
PATIENCE_S = 20.0
ANSWER = 16 << 20  # bytes of an answer of Envoy's own interface
LOOKED_AT = 1 << 16  # bytes at the end of its log, where it says why it ended


class EnvoyFailed(Exception):
    """Envoy did not start, or has ended; `log` is where it wrote, and `why` is Envoy's own last message."""

    def __init__(self, why: str, log: Path) -> None:
        super().__init__(f"{why} (log: {log})")
        self.why = why
        self.log = log


class _UnixHttp(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


@dataclass(slots=True)
class Envoy:
    """A running Envoy; a context manager which stops it."""

    process: subprocess.Popen[bytes] = field(repr=False)
    folder: Path
    address: Endpoint  # where it serves

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> Path:
        return self.folder / "envoy.log"

    @property
    def last_word(self) -> str:
        """The most telling line of the log."""
        return _reason(self.log)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def admin(self, path: str, *, method: str = "GET", timeout_s: float = 5.0) -> bytes:
        """Ask Envoy's own interface, over its Unix socket; raises OSError, also if there is no answer in time."""
        return _admin(self.folder, path, method, timeout_s)

    def stop(self, *, drain_s: float = 1.0, patience_s: float = 5.0) -> int:
        """End it, and return its exit status.  It is ended as soon as no RPC is under way, or after `drain_s`: by
        SIGTERM, and by SIGKILL if that has no effect.
        """
        if self.alive:
            self._drain(time.monotonic() + drain_s)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    def _drain(self, until: float) -> None:
        """Accept no further RPCs, and wait for those under way."""
        with contextlib.suppress(OSError):
            self.admin("/drain_listeners", method="POST", timeout_s=1.0)
            while b"rq_active: 0" not in self.admin(
                "/stats?filter=transect.downstream_rq_active", timeout_s=1.0
            ):
                if time.monotonic() >= until:
                    return
                time.sleep(0.02)

    def __enter__(self) -> Envoy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(
    binary: Binary,
    config: Mapping[str, Any],
    folder: Path,
    *,
    modules: Path | None = None,
    workers: int | None = None,
    patience_s: float = PATIENCE_S,
) -> Envoy:
    """Write `config` to `folder`, start, and return when Envoy serves.

    `config` must have its admin socket at `folder`/admin.sock.  Raises EnvoyFailed with Envoy's own reason (a busy
    port, a module that it refuses); the log is in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / "envoy.json"
    written.write_bytes(to_json(dict(config)))
    command = [str(binary.path), "--config-path", str(written), "--disable-hot-restart"]
    command += [
        "--log-level",
        "warning",
        "--component-log-level",
        "dynamic_modules:info,wasm:info",
    ]  # for policies' traces
    if workers is not None:
        command += ["--concurrency", str(workers)]
    environment = dict(os.environ) | ({SEARCH_PATH: str(modules)} if modules else {})
    log = folder / "envoy.log"
    try:
        log.unlink(missing_ok=True)
        with log.open("ab") as output:  # its reader may empty the file
            process = children.start(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
    except OSError as wrong:
        raise Unavailable(
            "Envoy", f"{binary.path} does not start: {wrong}", "give another one: --envoy PATH"
        ) from wrong
    try:
        address = _served(process, folder, log, patience_s)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return Envoy(process, folder, address)


def _served(process: subprocess.Popen[bytes], folder: Path, log: Path, patience_s: float) -> Endpoint:
    """Wait until it serves; return where."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if process.poll() is not None:
            fate = f"Envoy {ended(process.returncode)}"  # after a crash the log ends with addresses
            raise EnvoyFailed(fate if process.returncode < 0 else _reason(log) or fate, log)
        with contextlib.suppress(OSError):
            if _admin(folder, "/ready", "GET", 1.0).startswith(b"LIVE"):
                return _address(json.loads(_admin(folder, "/listeners?format=json", "GET", 1.0)))
        time.sleep(0.01)
    raise EnvoyFailed(_reason(log) or f"Envoy does not serve after {patience_s:g} s", log)


def _admin(folder: Path, path: str, method: str, timeout_s: float) -> bytes:
    connection = _UnixHttp(folder / "admin.sock", timeout_s)
    try:
        connection.request(method, path)
        return in_time(connection.getresponse(), ANSWER, timeout_s)
    except http.client.HTTPException as wrong:
        raise OSError(errno.EPROTO, f"the answer is no HTTP: {wrong}") from wrong
    finally:
        connection.close()


def _address(listeners: Mapping[str, Any]) -> Endpoint:
    found = listeners["listener_statuses"][0]["local_address"]
    if "pipe" in found:
        return Endpoint("", 0, found["pipe"]["path"])
    return Endpoint(found["socket_address"]["address"], found["socket_address"]["port_value"])


def ended(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"ended with status {status}"
    number = signal.Signals(-status)
    by_others = number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    return f"{'was killed' if by_others else 'crashed'} ({number.name})"


def _reason(log: Path) -> str:
    """The line of the log that tells why Envoy ended: its last error, without time and thread."""
    lines = tail(log, LOOKED_AT).decode(errors="replace").splitlines()
    telling = [line for line in lines if "][error]" in line or "][critical]" in line] or lines
    return telling[-1].split("] ", 1)[-1].strip() if telling else ""
