"""Hints of Arachne, emitted by transect from arachne.py; source sha256 b09d4d198f5631de429ecfeab2bf7ab41e0e5b16c64fb7ee94b86a8aca9a8bf2."""
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
