# SPDX-License-Identifier: Apache-2.0
"""The running policy's side: a Unix socket which only the same user, or root, may use, served by threads of its own."""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import inspect
import logging
import os
import socket
import stat
import threading
import time
import typing
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from transect.base.unavailable import Unavailable
from transect.control.protocol import VERSION, Answer, Broken, Kind, Refused, Request, allowed, receive, send
from transect.control.sockets import is_live, make_folder, socket_path
from transect.control.turns import Turns

logger = logging.getLogger("transect.control")

Verb = Callable[..., Any]

PATIENCE_S = 5.0  # for a request to arrive
LOOK_S = 0.5  # between two looks whether something that lasts has ended by itself
UNLOCKED = frozenset({"status"})  # verbs which may run beside others
SHORTAGE_S = 0.1  # between two looks whether there are descriptors, memory or threads again
SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_open: weakref.WeakSet[Server] = weakref.WeakSet()


class Taken(Exception):
    """Another instance of this name is running."""


@dataclass(frozen=True, slots=True)
class Lasting:
    """Something that a verb has begun and that lasts until its caller ends it, or is gone."""

    value: Any  # the answer, at once
    goes_on: Callable[[], bool]  # False: it has ended by itself
    end: Verb  # its answer is the second one


class Server:
    """Listens until it is closed; the socket's file goes with it."""

    def __init__(self, stratum: str, name: str, verbs: Mapping[str, Verb], *, numbered: bool = False) -> None:
        """`numbered`: when the name is taken, `NAME-2`, `NAME-3` … will do.

        Raises `Taken`, `sockets.NoName`, `sockets.Unsafe`.
        """
        self.stratum = stratum
        self._verbs = dict(verbs)
        self._turns = Turns()
        make_folder()
        self.name, self.path, self._socket = _bound(stratum, name, numbered)
        self._closed = False
        self._owner = os.getpid()
        self._thread = threading.Thread(
            target=self._accept, name=f"transect-control-{self.name}", daemon=True
        )
        self._thread.start()
        _open.add(self)

    def close(self) -> None:
        """Stop listening and remove the socket; a verb under way ends by itself."""
        if self._closed:
            return
        self._closed = True
        if os.getpid() == self._owner:
            self.path.unlink(missing_ok=True)
            # Wakes the thread, which waits in accept().
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---------------------------------------------------------------- serving

    def _accept(self) -> None:
        short = False
        while not self._closed:
            try:
                self._begin(self._socket.accept()[0])
                short = False
            except (OSError, RuntimeError) as error:  # RuntimeError: no thread can be started
                if self._closed:
                    return
                if isinstance(error, OSError) and error.errno not in {*SHORTAGES, errno.ECONNABORTED}:
                    logger.exception("the control socket %s stopped", self.path)
                    return
                if not short:
                    logger.warning("the control socket %s waits: %s", self.path, error)
                short = True  # it passes, and is said once
                time.sleep(SHORTAGE_S)

    def _begin(self, connection: socket.socket) -> None:
        try:
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
        except RuntimeError:
            connection.close()
            raise

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(PATIENCE_S)
            try:
                answer = self._heard(connection)
                connection.settimeout(PATIENCE_S)
                match answer.value:
                    case Lasting() as lasting:
                        self._last(connection, lasting)
                    case _:
                        send(connection, answer)
            except Broken as error:
                with contextlib.suppress(OSError):  # who only looks whether somebody listens is gone by now
                    send(connection, Answer(Kind.BROKEN, why=str(error)))
            except ConnectionError as error:
                logger.debug("who asked %s did not wait for the answer: %s", self.name, error)
            except OSError as error:
                logger.warning("a control request to %s failed: %s", self.name, error)

    def _last(self, connection: socket.socket, lasting: Lasting) -> None:
        try:
            send(connection, Answer(Kind.DONE, lasting.value))
            connection.settimeout(LOOK_S)
            while lasting.goes_on() and not _is_over(connection):
                pass
        finally:  # also when nobody receives the answers
            ended = _run(self._turns.taking("record", lasting.end, ends=True), {})
        connection.settimeout(PATIENCE_S)
        send(connection, ended)

    def _heard(self, connection: socket.socket) -> Answer:
        if not allowed(connection):
            return Answer(Kind.REFUSED, why="only the user who runs it may ask")
        try:
            request = receive(connection, Request)
        except TimeoutError as error:
            raise Broken(f"the request has not come within {PATIENCE_S:g} s") from error
        return self._answer(request)

    def _answer(self, request: Request) -> Answer:
        if request.version != VERSION:
            why = f"it speaks version {VERSION} of the control protocol, not {request.version}"
            return Answer(Kind.WRONG, why=why, hint="use the same version of transect on both sides")
        verb = self._verbs.get(request.verb)
        if verb is None:
            return Answer(
                Kind.WRONG, why=f"it has no `{request.verb}`; it has {', '.join(sorted(self._verbs))}"
            )
        try:
            inspect.signature(verb).bind(**request.arguments)
        except TypeError as error:
            return Answer(Kind.WRONG, why=f"`{request.verb}`: {error}")
        if wrong := _mistyped(verb, request.arguments):
            return Answer(Kind.WRONG, why=f"`{request.verb}`: {wrong}")
        if request.verb not in UNLOCKED:
            verb = self._turns.taking(request.verb, verb)
        return _run(verb, request.arguments)


def _is_over(connection: socket.socket) -> bool:
    """Whether the other side has closed the connection; waits a moment for that."""
    try:
        connection.recv(1)
    except TimeoutError:
        return False
    return True


def _mistyped(verb: Verb, arguments: Mapping[str, Any]) -> str:
    """What is wrong with the first field that is not as the verb's annotations have it; "" if there is none."""
    import msgspec

    fields = typing.get_type_hints(verb)
    for name, value in arguments.items():
        try:
            msgspec.convert(value, fields.get(name, Any))
        except msgspec.ValidationError as error:
            return f"`{name}`: {error}"
        # No path has one, and the system's calls raise ValueError.
        if isinstance(value, str) and "\0" in value:
            return f"`{name}`: a NUL is in it"
    return ""


def _run(verb: Verb, arguments: Mapping[str, Any]) -> Answer:
    try:
        return Answer(Kind.DONE, verb(**arguments))
    except Refused as no:
        return Answer(Kind.REFUSED, why=no.why, hint=no.hint)
    except Unavailable as lacking:
        return Answer(Kind.UNAVAILABLE, what=lacking.what, why=lacking.why, hint=lacking.hint)
    except Exception as error:  # whatever it is, the policy goes on
        logger.exception("a control request failed")
        return Answer(Kind.BROKEN, why=f"{type(error).__name__}: {error}")


def _bound(stratum: str, name: str, numbered: bool) -> tuple[str, Path, socket.socket]:
    """A socket that listens under the name, or under the first free one after it."""
    for number in range(1, 1000 if numbered else 2):
        candidate = name if number == 1 else f"{name}-{number}"
        made = _listening(socket_path(stratum, candidate))
        if made is not None:
            return candidate, socket_path(stratum, candidate), made
    raise Taken(f"`{name}` runs already ({socket_path(stratum, name)}); choose another `--name`")


def _listening(path: Path) -> socket.socket | None:
    """A socket that listens at the path; None when another one does."""
    with _alone(path.parent):
        if not _free(path):
            return None
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            made.bind(str(path))  # nobody reaches it before the mode is set: the folder is closed to others
            path.chmod(0o600)
            made.listen(16)
        except BaseException:
            made.close()
            raise
        for other in path.parent.glob("*.sock"):  # of names that may never come again
            with contextlib.suppress(OSError):
                _free(other)
        return made


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time: a socket that is bound and does not listen yet looks like one that a dead process left,
    and a process must not remove a socket that another has just made.
    """
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _free(path: Path) -> bool:
    """Whether the path can be bound; what a dead process left there is taken away."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return True
    if not stat.S_ISSOCK(mode) or is_live(path):
        return False
    path.unlink(missing_ok=True)
    return True


def _close_all() -> None:
    """Close all servers: a forked child does not answer for its parent, and an ended process leaves no socket
    behind.
    """
    for server in list(_open):
        server.close()


os.register_at_fork(after_in_child=_close_all)
atexit.register(_close_all)
