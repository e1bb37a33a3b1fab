# SPDX-License-Identifier: Apache-2.0
"""The operator's side: one question to a running policy, one answer, and clear words when there is none."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from transect.base.diagnostic import closest
from transect.base.unavailable import NoName, Unavailable
from transect.control.answers import Changed, Shadow, Started, Status, Stopped, Upgraded
from transect.control.protocol import Answer, Kind, Refused, Request, allowed, receive, send
from transect.control.sockets import command, found, socket_path

T = TypeVar("T")


class ControlError(Exception):
    """The instance exists, but does not answer as it should."""


@dataclass(frozen=True, slots=True)
class Client:
    """Asks one instance."""

    stratum: str
    name: str
    patience_s: float = 30.0  # an upgrade compiles

    @staticmethod
    def only(stratum: str, name: str | None = None) -> Client:
        """The instance of that name; without one, the only one that runs.

        Raises `Unavailable` when there is none, `NoName` when there are several to choose from.
        """
        if name is not None:
            return Client(stratum, name)
        names = [n for _, n in found(stratum)]
        if len(names) == 1:
            return Client(stratum, names[0])
        if names:
            raise NoName(f"{len(names)} {stratum} instances are running", f"say which: {', '.join(names)}")
        raise _absent(stratum, None)

    def status(self) -> Status:
        return self._asked(Status, "status")

    def set(self, param: str, value: str) -> Changed:
        return self._asked(Changed, "set", param=param, value=value)

    @contextlib.contextmanager
    def recording(self, path: Path) -> Iterator[Recording]:
        """Have the instance record into a new log, until `Recording.end`, the end of this block, or the end of this
        process.
        """
        with self._connected() as connection:
            request = Request("record", {"path": str(path.absolute())})
            started = self._fits(Started, "record", self._exchanged(connection, request))
            yield Recording(self, connection, started)

    def record_stop(self) -> Stopped:
        """End the recording, whoever began it."""
        return self._asked(Stopped, "record-stop")

    def upgrade(self, path: Path, automatic_return: bool = True) -> Upgraded:
        return self._asked(Upgraded, "upgrade", path=str(path.absolute()), automatic_return=automatic_return)

    def shadow(self, path: Path) -> Shadow:
        """Let the policies of a file decide beside those in force."""
        return self._asked(Shadow, "shadow", path=str(path.absolute()))

    def shadow_stop(self) -> Shadow:
        """End that; what it has found."""
        return self._asked(Shadow, "shadow-stop")

    def go_back(self) -> Upgraded:
        return self._asked(Upgraded, "go-back")

    def ask(self, verb: str, **arguments: Any) -> Any:
        """The answer to a verb.

        Raises `Refused` for a no, `Unavailable` when no such instance runs or it lacks something, `ControlError` when
        it does not answer as it should.
        """
        with self._connected() as connection:
            return self._exchanged(connection, Request(verb, arguments))

    def _exchanged(self, connection: socket.socket, request: Request | None) -> Any:
        """The next answer: to this request, or the second answer to the request before."""
        answer = self._answer(connection, request)
        match answer.kind:
            case Kind.DONE:
                return answer.value
            case Kind.REFUSED:
                raise Refused(answer.why, answer.hint)
            case Kind.UNAVAILABLE:
                raise Unavailable(answer.what, answer.why, answer.hint)
            case Kind.WRONG | Kind.BROKEN:
                hint = f" ({answer.hint})" if answer.hint else ""
                raise ControlError(f"{self.stratum} instance `{self.name}`: {answer.why}{hint}")

    def _asked(self, schema: type[T], verb: str, **arguments: Any) -> T:
        return self._fits(schema, verb, self.ask(verb, **arguments))

    def _fits(self, schema: type[T], verb: str, value: object) -> T:
        import msgspec

        try:
            return msgspec.convert(value, schema)
        except msgspec.ValidationError as wrong:
            raise ControlError(
                f"{self.stratum} instance `{self.name}` answers `{verb}` wrongly: {wrong}"
            ) from wrong

    @contextlib.contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        try:
            path = socket_path(self.stratum, self.name)
        except ValueError as error:
            raise Unavailable(
                f"{self.stratum} instance `{self.name}`", str(error), _hint(self.stratum)
            ) from error
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(self.patience_s)
            try:
                connection.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError) as error:
                raise _absent(self.stratum, self.name) from error
            except PermissionError as error:
                what = f"{self.stratum} instance `{self.name}`"
                raise Unavailable(
                    what, "it belongs to another user", "ask as that user, or as root"
                ) from error
            except (BlockingIOError, TimeoutError) as error:
                why = "does not answer: too many wait for it already"
                raise ControlError(f"{self.stratum} instance `{self.name}` {why}") from error
            if not allowed(connection):
                what = f"{self.stratum} instance `{self.name}`"
                raise Unavailable(what, f"another user listens at {path}", "remove what lies there")
            yield connection

    def _answer(self, connection: socket.socket, request: Request | None) -> Answer:
        try:
            # An instance that refuses the request may have answered before it was sent.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                if request is not None:
                    send(connection, request)
            return receive(connection, Answer)
        except TimeoutError as error:
            text = f"does not answer within {self.patience_s:g} s"
            raise ControlError(f"{self.stratum} instance `{self.name}` {text}") from error
        except ConnectionError as error:
            if request is None:
                why = "ended while it recorded, so that the log may lack its end"
                raise ControlError(f"{self.stratum} instance `{self.name}` {why}") from error
            raise ControlError(f"{self.stratum} instance `{self.name}`: {error}") from error


@dataclass(frozen=True, slots=True)
class Recording:
    """A log that an instance writes for its caller as long as the connection is open."""

    _client: Client
    _connection: socket.socket
    started: Started

    def has_ended(self) -> bool:
        """Whether somebody else has ended it, or the instance is gone: `end` says which."""
        return bool(select.select([self._connection], [], [], 0)[0])

    def end(self) -> Stopped:
        """Raises as `Client.ask` does."""
        with contextlib.suppress(OSError):  # the instance is gone
            self._connection.shutdown(socket.SHUT_WR)
        return self._client._fits(Stopped, "record", self._client._exchanged(self._connection, None))


def _absent(stratum: str, name: str | None) -> Unavailable:
    others = found()
    what = f"{stratum} instance `{name}`" if name is not None else f"{stratum} instance"
    if not others:
        return Unavailable(what, "nothing is running", _hint(stratum))
    running = f"none is running; there is {', '.join(f'{kind} `{n}`' for kind, n in others)}"
    close = closest(name, [n for kind, n in others if kind == stratum]) if name else None
    if close:
        return Unavailable(what, running, f"did you mean `{close}`?")
    return Unavailable(what, running, _alone(name, others) if stratum == "stack" else _hint(stratum))


def _alone(name: str | None, others: Sequence[tuple[str, str]]) -> str:
    """The hint for a verb of a stack that names an instance outside a stack, for which the stratum must be named."""
    meant = next(((kind, other) for kind, other in others if name in (None, other)), None)
    if meant is None:
        return _hint("stack")
    return f"outside a stack, name the stratum: `{command(meant[0])} status {meant[1]}`"


def _hint(stratum: str) -> str:
    return f"{command(stratum)} run …"
