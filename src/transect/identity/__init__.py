# SPDX-License-Identifier: Apache-2.0
"""The tenant and the deadline of a request, passed from one layer to the next so that nobody else can forge them.

    keys = Keys(Path("identity.key"))
    headers = {HEADER: keys.vouch("alice", deadline=time.monotonic() + 2.0)}   # who sends
    caller = Verifier(keys).of(headers[HEADER])                              # who receives; None: nobody's word

A layer which has identified the tenant of a request (by a certificate, an API key) vouches for it with a signed word in
a header; the next layer believes that word and nothing else.  A request without one, or whose word is forged, expired
or used before, has no tenant.
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
