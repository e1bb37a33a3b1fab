# SPDX-License-Identifier: Apache-2.0
"""Whose a request is, and until when, said from one layer to the next so that nobody else can say it.

    keys = Keys(Path("identity.key"))
    headers = {HEADER: keys.vouch("alice", deadline=time.monotonic() + 2.0)}   # who sends
    caller = Verifier(keys).of(headers[HEADER])                              # who receives; None: nobody's word

A layer which has found out whose a request is (by a certificate, an API key) vouches for it; the next one believes that
and nothing else.  What comes without it, or with a word that is forged, expired, or has been used before, is of nobody.
"""

from transect.base.tenant import ANONYMOUS
from transect.identity.caller import Caller, current, working_for
from transect.identity.keys import Keys, NoKeys
from transect.identity.speaking import serving, serving_task
from transect.identity.verifier import Refused, Verifier
from transect.identity.words import HEADER

__all__ = [
    "ANONYMOUS",
    "HEADER",
    "Caller",
    "Keys",
    "NoKeys",
    "Refused",
    "Verifier",
    "current",
    "serving",
    "serving_task",
    "working_for",
]
