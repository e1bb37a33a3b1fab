# SPDX-License-Identifier: Apache-2.0
"""Whose an HTTP request is, from what an ASGI server knows of the request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transect.base.request_id import HEADER as REQUEST_ID
from transect.base.request_id import TRACEPARENT, Named, called, named
from transect.identity import HEADER, Caller, Keys, NoKeys, Verifier
from transect.llm.config import Config
from transect.llm.metrics import Metric
from transect.llm.tenants import Client, Nobody, Tenants

_VOUCHED = HEADER.encode()
_IDS = {name.encode(): name for name in (REQUEST_ID, TRACEPARENT)}


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, and until when."""

    client: Client
    deadline: float | None
    """When the request is over, on the clock of `time.monotonic()`; None if nobody said."""
    named: Named
    """The names that the request's headers give it."""


class Identifier:
    """Finds the tenant of a request: by its key, by the word of a layer that has our keys, or by the name that a
    trusted proxy gives it.
    """

    def __init__(self, tenants: Tenants, config: Config, folder: Path) -> None:
        """`folder`: where the configuration is.  Raises `transect.identity.NoKeys`."""
        self._tenants = tenants
        self._folder = folder
        self._file: str | None = None
        self._verifier: Verifier | None = None
        self._nobody: Counter[Nobody] = Counter()  # requests of no tenant
        self.load(config, self.verifier_of(config))

    def verifier_of(self, config: Config) -> Verifier | None:
        """The verifier of words for this configuration; if the file of keys is the same, the current verifier with what
        it remembers.

        Raises `transect.identity.NoKeys`.
        """
        keys = config.identity.keys
        if keys == self._file or keys is None:
            return None if keys is None else self._verifier
        path = self._folder / keys
        try:
            return Verifier(Keys(path))
        except NoKeys as wrong:
            raise NoKeys(f"`identity.keys`: {path} {wrong}") from wrong

    def load(self, config: Config, verifier: Verifier | None) -> None:
        """Another configuration comes into force, with its verifier."""
        self._verifier, self._file = verifier, config.identity.keys
        self.header = config.identity.header.lower().encode()

    def status(self) -> Mapping[str, int] | None:
        """Words that were believed, and those that were not, by reason; None: there are no keys."""
        return None if self._verifier is None else self._verifier.status()

    def metrics(self) -> Iterator[Metric]:
        values = tuple((str(why), float(self._nobody[why])) for why in Nobody)
        help = "Requests that were refused since it is not known whose they are, by why."
        yield Metric("transect_llm_unidentified_total", "counter", help, values, label="why")

    def who(self, scope: MutableMapping[str, Any]) -> Asked | Nobody:
        """The tenant of an ASGI scope, or why it is of none, which is counted."""
        keys: list[str] = []
        by_peer: list[bytes] = []
        called_by: list[tuple[str, str]] = []
        vouched: list[bytes] = []
        for name, value in scope["headers"]:
            if name == b"authorization":
                keys.append(_bearer(value))
            elif name == b"x-api-key":
                keys.append(value.decode("latin-1").strip())
            elif name in _IDS:
                called_by.append((_IDS[name], value.decode("latin-1")))
            if name == self.header:
                by_peer.append(value)
            if name == _VOUCHED:
                vouched.append(value)
        peer = scope.get("client")
        caller = self._vouched(vouched)
        client = self._tenants.who(
            keys=keys,
            vouched=None if caller is None else caller.tenant,
            # A header that comes twice is not believed: who put the other one there?
            named=by_peer[0].decode("latin-1") if len(by_peer) == 1 else None,
            peer=peer[0] if peer else None,
        )
        if isinstance(client, Nobody):
            self._nobody[client] += 1
            return client
        return Asked(client, None if caller is None else caller.deadline, called(named(called_by)))

    def _vouched(self, words: list[bytes]) -> Caller | None:
        if self._verifier is None or not words:
            return None
        # Two words cannot both be ours, so neither is read; what is not ASCII is malformed.
        return self._verifier.of(",".join(word.decode("latin-1") for word in words))


def _bearer(value: bytes) -> str:
    """The key of an Authorization header; for a header in another form, a key that nobody has."""
    scheme, _, key = value.decode("latin-1").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
