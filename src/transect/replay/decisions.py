# SPDX-License-Identifier: Apache-2.0
"""A log as rows, one for each decision about a sampled request, for who keeps and searches such rows.

Which requests are taken depends on their ids alone, so that every layer takes the same ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from transect import __version__
from transect.base.request_id import Named
from transect.core.codec import CodecError
from transect.replay.compare import Decoder
from transect.replay.log import Log, Naming, Record
from transect.replay.why import Decision, Layer, explained


@dataclass(frozen=True, slots=True)
class Row:
    """One decision.  Texts are empty where nothing is known."""

    time: int  # Unix time in ns: of the call where the layer says it, else when its request came
    request_id: str
    trace_id: str
    layer: str
    stratum: str
    policy: str
    version: int
    hook: str
    client: str
    verdict: str
    as_recorded: bool
    lines: str  # JSON: of the policy, each with its file, number, text, and the values that it read
    changes: str  # JSON: of the state, each with its place, before and after


@dataclass(frozen=True, slots=True)
class Sample:
    """Which requests are taken."""

    share: float = 1.0  # of all, 0 to 1
    verdict: str = ""  # those about which something was decided that begins so; empty: any

    def takes(self, named: Named) -> bool:
        """Of a trace all requests, or none."""
        ids = named.ids
        drawn = int.from_bytes(hashlib.sha256(ids[-1].encode()).digest()[:8]) if ids else 0
        return bool(ids) and drawn < self.share * 2**64


@dataclass(frozen=True, slots=True)
class Taken:
    """What was found."""

    rows: tuple[Row, ...]
    requests: int
    explained: int  # of the requests: those of which every decision is there and as recorded


def decisions(log: Log, decoder: Decoder, sample: Sample) -> Taken:
    """The decisions of a log about the requests of a sample, in the order in which they came."""
    taken = [naming for naming in log.names if sample.takes(naming.named)]
    if sample.verdict:
        decided = set(_decided(log, decoder, sample.verdict))
        taken = [naming for naming in taken if naming.instance in decided]
    layers = explained(log, decoder, taken)
    rows = [
        row(naming, layer, decision)
        for naming, layer in zip(taken, layers, strict=True)
        for decision in layer.decisions
    ]
    return Taken(tuple(rows), len(layers), sum(layer.explained for layer in layers))


def _decided(log: Log, decoder: Decoder, verdict: str) -> Iterator[int]:
    """The instances about which something was decided that begins so."""
    for record in log.records:
        if record.instance and _words(log, decoder, record).startswith(verdict):
            yield record.instance


def _words(log: Log, decoder: Decoder, record: Record) -> str:
    policy = log.policies[record.policy]
    try:
        return decoder.words(policy.program, policy.hooks[record.hook], record.result)
    except CodecError:
        return ""  # it is explained, or not, when its request is taken for another verdict


def row(naming: Naming, layer: Layer, decision: Decision) -> Row:
    """A decision with its request."""
    named = naming.named
    trace = Named("", named.traceparent).ids
    return Row(
        layer.came if decision.time is None else decision.time,
        next(iter(Named(named.request_id).ids), ""),
        trace[0] if trace else "",
        layer.name,
        layer.stratum,
        decision.policy,
        decision.version,
        decision.hook,
        decision.client,
        decision.verdict,
        not decision.differs,
        json.dumps([asdict(line) for line in decision.lines], ensure_ascii=False),
        json.dumps([asdict(change) for change in decision.changes], ensure_ascii=False),
    )


# ---------------------------------------------------------------- OpenTelemetry


def otlp(rows: Iterable[Row]) -> Iterator[str]:
    """Lines of OTLP's logs in JSON, one for each row: what collectors read from files (`otlpjsonfile`)."""
    for one in rows:
        scope = {"scope": {"name": "transect", "version": __version__}, "logRecords": [_record(one)]}
        resource = {"attributes": [_attribute("service.name", one.layer)]}
        yield json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]}, ensure_ascii=False)


def _record(one: Row) -> dict[str, object]:
    plain: dict[str, str | int] = {
        "transect.stratum": one.stratum,
        "transect.policy": one.policy,
        "transect.version": one.version,
        "transect.hook": one.hook,
        "transect.client": one.client,
        "transect.verdict": one.verdict,
        "transect.as_recorded": one.as_recorded,
        "transect.lines": one.lines,
        "transect.changes": one.changes,
        "http.request.header.x-request-id": one.request_id,
    }
    found = {
        "timeUnixNano": str(one.time),
        "severityNumber": 9,
        "severityText": "INFO",
        "body": {"stringValue": f"{one.policy}.{one.hook}{_given(one.verdict)}"},
        "attributes": [_attribute(name, value) for name, value in plain.items() if value != ""],
    }
    return found | ({"traceId": one.trace_id} if one.trace_id else {})


def _given(verdict: str) -> str:
    return "" if verdict in ("None", "none") else f" → {verdict}"


def _attribute(key: str, value: str | int) -> dict[str, object]:
    match value:
        case bool():
            return {"key": key, "value": {"boolValue": value}}
        case int():
            return {"key": key, "value": {"intValue": str(value)}}
        case _:
            return {"key": key, "value": {"stringValue": value}}
