# SPDX-License-Identifier: Apache-2.0
"""Errors of an element that do not depend on the service.  They need no descriptors, so `check` reports them, too."""

from __future__ import annotations

from dataclasses import dataclass

from transect.base.diagnostic import Diagnostics
from transect.base.span import Span
from transect.core.ir import Program
from transect.core.types import DictType, OptionType, SeqType, Sync, ViewType
from transect.rpc.chain.needs import Access, Needs, headers_named, needs
from transect.rpc.headers import instead, owned, read_only


def check_element(program: Program, diagnostics: Diagnostics, *, by_worker: bool = True) -> None:
    """Report what no message and no carrier could make right.

    `by_worker`: the carrier, or one that is still possible, may keep a copy of the state for each of its workers,
    including copies that are summed.
    """
    rules = _Rules(needs(program), diagnostics)
    rules.copies(by_worker)
    rules.early_reads()
    rules.writes()
    rules.header_names()


@dataclass(frozen=True, slots=True)
class _Rules:
    needs: Needs
    diagnostics: Diagnostics

    def error(self, code: str, message: str, at: Span, label: str, help: str) -> None:
        self.diagnostics.error(code, message, at, label=label, help=help)

    def copies(self, by_worker: bool) -> None:
        """Carriers keep one copy of an element's state for each chain, in memory; a field that asks for anything else
        is refused.
        """
        for f in self.needs.program.state:
            options = f.options
            summed = options.merge == "sum" and options.sync is not Sync.STRONG
            if by_worker and (options.scope == "worker" or summed):
                continue  # the carrier itself reports whether it can do that
            wish = f"scope={options.scope!r}" if options.scope != "instance" else ""
            wish = f"sync={str(options.sync)!r}" if options.sync is not Sync.NONE else wish
            if wish:
                who = "only a WASM plugin" if options.scope == "worker" else "no carrier"
                self.error(
                    "R017",
                    f"`{f.name}` asks for `{wish}`, which {who} gives",
                    f.span,
                    "there is one copy for each chain",
                    f"leave `{wish.partition('=')[0]}` out, and let one proxy or channel carry the chain",
                )
            elif options.persist:
                self.error(
                    "R017",
                    f"`{f.name}` asks for `persist=True`, which no carrier gives",
                    f.span,
                    "it lives as long as its chain",
                    "leave `persist` out; the state begins anew with the chain",
                )

    def early_reads(self) -> None:
        for use in self.needs.uses_of("request", "reply", "reply_body"):
            self.error(
                "R009",
                f"`request` reads `rpc.{use.field}`, but there is no reply yet",
                use.span,
                "runs before the reply",
                "move this to `response`",
            )

    def writes(self) -> None:
        for access in self.needs.accesses:
            if access.write:
                self._late(access)
                self._item(access)
                self._whole(access)

    def _late(self, access: Access) -> None:
        names = {root.name for root in access.roots}
        request_gone = "msg" in names and access.hook != "request"
        if request_gone or ("reply" in names and access.hook == "finish"):
            where = "`request`" if "msg" in names else "`response`"
            self.error(
                "R008",
                f"`{access.hook}` writes `{access.field}` of a message that has gone",
                access.span,
                "nobody will see this",
                f"write it in {where}",
            )

    def _item(self, access: Access) -> None:
        if any(root.item for root in access.roots):
            self.error(
                "R010",
                f"`{access.field}` belongs to an item of a repeated or map field, which is read-only",
                access.span,
                "an item",
                "change fields outside of repeated and map fields",
            )

    def _whole(self, access: Access) -> None:
        member = self.needs.program.view(access.view).member(access.field)
        assert member is not None, f"{access.view} has no {access.field}"
        inner = member.type.item if isinstance(member.type, OptionType) else member.type
        if not isinstance(inner, SeqType | DictType | ViewType) or access.clears:
            return
        what = "sub-message" if isinstance(inner, ViewType) else "repeated or map field"
        self.error(
            "R010",
            f"`{access.field}` is a {what}, which cannot be assigned",
            access.span,
            "not a plain value",
            "assign its fields one by one",
        )

    def header_names(self) -> None:
        """HTTP/2 has only names in lower case: a name with capitals would never be found, and what it guards would be
        open.  A header that belongs to the protocol is in the metadata of some carriers and not of others.
        """
        for header in headers_named(self.needs.program):
            name = header.name
            if owned(name) or (header.written and read_only(name)):
                self.error(
                    "R022",
                    f'"{name}" belongs to the protocol',
                    header.span,
                    "not written by policies" if header.written else "not read by policies",
                    instead(name),
                )
            elif name != name.lower():
                self.error(
                    "R022",
                    f'no header has the name "{name}"',
                    header.span,
                    "not in lower case",
                    f'write "{name.lower()}"',
                )
