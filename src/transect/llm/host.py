# SPDX-License-Identifier: Apache-2.0
"""What the operator may ask of an engine or gateway: `status`, `set`, `record`, `upgrade`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transect.control import params
from transect.control.protocol import Refused
from transect.control.readings import readings
from transect.core.schema import schema
from transect.core.upgrade import Refused as NotKept
from transect.lang.functions import PolicyError
from transect.llm.adapter import MICRO
from transect.llm.native import image, restore
from transect.llm.service import Service

SHOWN = 50  # tenants in `status`, those served most


class LlmHost:
    """A service, as `control.host.Host` wants it."""

    def __init__(
        self, service: Service, kind: str, name: str, more: Callable[[], Mapping[str, Any]] = dict
    ) -> None:
        """`kind`: what serves, for `status` (`vLLM 0.32`, `gateway`).  `name`: the instance's.  `more`: what else
        `status` says."""
        self._service = service
        self._kind = kind
        self._name = name
        self._more = more

    def status(self) -> Mapping[str, Any]:
        service = self._service
        with service.lock:
            program = service.program
            return {
                "kind": self._kind,
                "name": self._name,
                "since": service.since,
                "policies": [
                    {
                        "name": program.name,
                        "version": program.source_hash[:12],
                        "schema": schema(program).hash,
                        "runs as": f"Python: {why}" if (why := service.python_because) else "machine code",
                        "upgrades": service.version - 1,
                    }
                ],
                "counters": {
                    "waiting": len(service.queues),
                    "tenants waiting": service.queues.clients_waiting,
                },
                "bound": self._bound(),
                "tenants": self._tenants(),
                "state": readings([program], [image(service.policy)], service.tenants.name_of),
                **self._more(),
                "recording": None if service.recording is None else str(service.recording.path),
            }

    def _bound(self) -> Mapping[str, Any]:
        if not self._service.bounded:
            return {"watched": False, "why": "the policy orders tenants by no counter of service"}
        watcher = self._service.watcher
        return {
            "watched": True,
            "mode": str(watcher.mode),
            "tokens": watcher.bound / MICRO,
            "gap": watcher.gap / MICRO,
            "worst": watcher.worst / MICRO,
            "beyond": watcher.beyond,
            "looks": watcher.looks,
        }

    def _tenants(self) -> list[dict[str, Any]]:
        """Those served most, with what they were charged for."""
        service = self._service
        queues = service.queues
        most = ((number, queues.accounts[number]) for number in queues.most_served()[:SHOWN])
        return [
            {
                "tenant": service.tenants.name_of(number),
                "weight": service.tenants.weight_of(number),
                "waiting": queues.waiting_of(number),
                "running": queues.running_of(number),
                "prompt": account.prompt,
                "output": account.output,
                "finished": account.finished,
                "refused": account.refused,
            }
            for number, account in most
            if isinstance(number, int)
        ]

    def set(self, param: str, value: str) -> Mapping[str, Any]:
        service = self._service
        found = params.find([service.program], param)
        after = found.parse(value)
        before: list[object] = []
        with service.lock:
            put = found.put(after, before.append)
            restore(service.policy, put(image(service.policy)))
        return found.changed(before[-1], after)

    def record_start(self, path: str) -> Mapping[str, Any]:
        with self._service.lock:
            if self._service.recording is not None:
                raise Refused(f"it records already, into {self._service.recording.path}", "stop that first")
            try:
                self._service.record(Path(path), self._name)
            except FileExistsError:
                raise Refused(f"{path} is there already", "give a new name") from None
            except OSError as wrong:
                raise Refused(f"{path} cannot be written: {wrong.strerror}", "give another place") from wrong
        return {"path": path}

    def record_stop(self) -> Mapping[str, Any]:
        with self._service.lock:
            recording = self._service.recording
            if recording is None:
                raise Refused("nothing is recorded", "begin with `transect llm record -o FILE`")
            try:
                trailer = self._service.end_record()
            except OSError as wrong:
                raise Refused(f"the log is not whole: {wrong}", "make room, and record anew") from wrong
        return {"path": str(recording.path), "records": trailer.records, "dropped": trailer.dropped}

    def upgrade(self, path: str, automatic_return: bool = True) -> Mapping[str, Any]:
        """The way back is by hand, as an engine has no trial run in which the new version could fail by itself.  Unless
        `automatic_return` is False, state that goes over must be such that it could go back.
        """
        try:
            done = self._service.upgrade(Path(path), returns=automatic_return)
        except PolicyError as wrong:
            raise Refused(str(wrong).strip(), "the version that runs goes on") from wrong
        except NotKept as wrong:
            raise Refused(
                f"the upgrade is refused: {wrong}", "write `migrate`; the version that runs goes on"
            ) from wrong
        return {
            "before": done.before[:12],
            "after": done.after[:12],
            "state": {
                d.field: f"{d.action}{f' ({d.reason})' if d.reason else ''}" for d in done.fields.decisions
            },
            "told of all who wait": done.anew,
        }
