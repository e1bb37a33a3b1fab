"""Hints of Arachne, emitted by transect from arachne.py; source sha256 f04ab5bc199af55dfceca8073ba63fff3f9c33dd266b158bffd159eed0e0d1ea."""
from dataclasses import dataclass
from typing import ClassVar
from transect_hints import Application

@dataclass(frozen=True)
class Cores:
    count: int
    priority: int
    FORM: ClassVar[str] = 'Cores'

@dataclass(frozen=True)
class GiveBack:
    core: int
    FORM: ClassVar[str] = 'give_back'

@dataclass(frozen=True)
class Granted:
    core: int
    FORM: ClassVar[str] = 'granted'
SAYS = {Cores: 1691661922}
HEARS = {2138800154: GiveBack, 4213799431: Granted}

def attach(path: str | None=None) -> Application:
    """Attach this process to Arachne, which is in force."""
    return Application(SAYS, HEARS, path)
