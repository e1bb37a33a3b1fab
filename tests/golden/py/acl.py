"""Policy Acl from acl.py, line 9, sha256 d0314920a667efdf3850f957592f6469c3adc8544012ad27c23e0eac4348b110.

Emitted by transect 0.  Change the policy, not this file.
"""

from __future__ import annotations
from transect.core import types
from transect.emit.py import runtime
from transect.rpc.hooks import Code, Element, Forward, Reject

AclFields = {}
AclFields['allowed'] = runtime.Field(types.TableType(types.TableKind.TABLE, types.TextType(64), types.BoolType(), 1024))


class AclState(runtime.State):
    """Let known users through."""
    __slots__ = ('allowed',)

    @runtime.hook()
    def request(self, rpc):
        return Forward() if self.allowed.get(rpc.msg.user, False) else Reject(Code.PERMISSION_DENIED, 'acl')

    @runtime.hook()
    def response(self, rpc):
        """A reply message passes by."""
        return Forward()

    @runtime.hook()
    def finish(self, rpc, outcome):
        """The RPC has ended."""
        return None


Acl = runtime.policy('Acl', Element, AclState, AclFields, runtime.Origin('acl.py', 9, 'd0314920a667efdf3850f957592f6469c3adc8544012ad27c23e0eac4348b110'))
