# SPDX-License-Identifier: Apache-2.0
"""Tenants as policies see them: a number for each name, given once and never again while the process lives.

Policies key their state by numbers, which every target holds in eight bytes; logs say which number was which name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address, ip_network

from transect.base.tenant import ANONYMOUS
from transect.llm.config import Config, Tenant
from transect.llm.keys import Keyring

ORDINARY = Tenant()


class Nobody(StrEnum):
    """Why a request is of no tenant."""

    NO_KEY = "no valid key"
    DISAGREE = "keys that disagree"


@dataclass(frozen=True, slots=True)
class Client:
    """A tenant, as requests of it are marked."""

    name: str
    number: int
    weight: int  # percent
    lane: int
    group: int


class Tenants:
    """Names and numbers of the tenants that are served."""

    def __init__(self, config: Config, known: Iterable[str] = ()) -> None:
        """`known`: names that have numbers already, from 0: those of a state that is kept."""
        self._names: list[str] = list(known)
        self._numbers: dict[str, int] = {name: number for number, name in enumerate(self._names)}
        self._groups: dict[str, int] = {}
        self.load(config)

    def load(self, config: Config) -> None:
        """Another configuration comes into force; the numbers stay the same."""
        keyring = Keyring({key: name for name, t in config.tenants.items() for key in t.keys})
        trusted = [ip_network(network) for network in config.identity.trusted]
        clients = {name: self._client(name, t) for name, t in config.tenants.items()}
        shared = self._client(ANONYMOUS, config.tenants.get(ANONYMOUS, ORDINARY))
        self._keyring, self._trusted, self._clients = keyring, trusted, clients
        self.operator = shared  # whoever reaches the engine itself, past everything that identifies requests
        self._shared = shared if config.identity.unknown == "share" else None

    def _client(self, name: str, t: Tenant) -> Client:
        # A tenant of no group is one of its own, which no other can join: names of groups have no space.
        group = self._groups.setdefault(t.group or f"{name} alone", len(self._groups))
        return Client(name, self.number_of(name), t.weight, t.lane, group)

    # ---------------------------------------------------------------- whose is it

    def by_name(self, name: str | None) -> Client | None:
        """The tenant of that name; for a name that is not known, the shared one if there is one."""
        return self._clients.get(name or "", self._shared)

    def by_key(self, key: str) -> Client | None:
        """The tenant whose API key this is; None for a key that nobody has, even if requests without a
        key are served.
        """
        owner = self._keyring.owner(key)
        return None if owner is None else self._clients[owner]

    def trusts(self, peer: str | None) -> bool:
        """Whether the header that names a tenant is believed when it comes from this address."""
        try:
            address = ip_address(peer or "")
        except ValueError:
            return False
        return any(
            address in network for network in self._trusted
        )  # never true for an address of the other IP version

    def who(
        self, *, keys: Sequence[str], vouched: str | None = None, named: str | None, peer: str | None
    ) -> Client | Nobody:
        """Whose request it is: by its keys if it shows some, else by who vouches for it, else as a trusted peer says.

        Keys are of one tenant: of two that disagree another reader could take the other.
        """
        if len(keys) > 1 and len({self._keyring.owner(key) for key in keys}) > 1:
            return Nobody.DISAGREE
        if keys:
            return self.by_key(keys[0]) or Nobody.NO_KEY
        name = vouched if vouched is not None else named if self.trusts(peer) else None
        return self.by_name(name) or Nobody.NO_KEY

    # ---------------------------------------------------------------- numbers

    def number_of(self, name: str) -> int:
        """Its number; a name that is new, since another gateway serves it, gets the next one."""
        if name not in self._numbers:
            self._numbers[name] = len(self._names)
            self._names.append(name)
        return self._numbers[name]

    def weight_of(self, number: int) -> int:
        """Its weight in percent; the ordinary one for a tenant that the configuration does not name."""
        client = self._clients.get(self._names[number])
        return ORDINARY.weight if client is None else client.weight

    def name_of(self, number: int) -> str:
        return self._names[number]

    def is_named(self, number: int) -> bool:
        """Whether some name has the number."""
        return 0 <= number < len(self._names)

    def names(self) -> Mapping[int, str]:
        """Every number that was ever given, with its name."""
        return dict(enumerate(self._names))
