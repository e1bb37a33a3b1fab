"""Hints of Arachne, emitted by transect from arachne.py; source sha256 a759875e66b982ac6d24bea8318cca039dfa6bb41278a568871e1b30bebce153."""
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
