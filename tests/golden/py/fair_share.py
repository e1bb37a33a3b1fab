"""Policy FairShare from fair_share.py, line 6, sha256 29fae2ad92b95b3b3d6bb25a05198c0158f570992d9a950a4f53d594fcb311f0.

Emitted by transect 0.  Change the policy, not this file.
"""

from __future__ import annotations
from transect.core import types
from transect.core.values import wrap
from transect.emit.py import runtime
from transect.shapes import Arbiter

FairShareFields = {}
FairShareFields['waiting'] = runtime.Field(types.SeqType(types.KeyType('Client')), kind='given')
FairShareFields['served'] = runtime.Field(types.TableType(types.TableKind.TALLY, types.KeyType('Client'), types.IntType(), 4096), ordered=True)
FairShareFields['level'] = runtime.Field(types.IntType(), default=0)


class FairShareState(runtime.State):
    """Serve whoever has been served least; a newcomer starts level with the others."""
    __slots__ = ('waiting', 'served', 'level')

    @runtime.hook()
    def arrive(self, client):
        floor = self.served.minimum(self.waiting) if len(self.waiting) > 0 else self.level
        self.served[client] = max(self.served[client], floor)

    @runtime.hook()
    def pick(self):
        chosen = self.served.argmin(self.waiting)
        self.level = max(self.level, self.served[chosen])
        return chosen

    @runtime.hook()
    def charge(self, client, cost):
        self.served[client] = wrap(self.served[client] + cost)

    @runtime.hook()
    def leave(self, client):
        """The client has no work waiting any more."""

    @runtime.hook()
    def forget(self, client):
        """The client goes: it has no work, and its state is no longer needed.  Its entries are dropped from all tables
afterwards."""
        del self.served[client]


FairShare = runtime.policy('FairShare', Arbiter, FairShareState, FairShareFields, runtime.Origin('fair_share.py', 6, '29fae2ad92b95b3b3d6bb25a05198c0158f570992d9a950a4f53d594fcb311f0'))
