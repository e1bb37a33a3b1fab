# SPDX-License-Identifier: Apache-2.0
"""The messages of a trial: whatever a service's messages look like, they are what their names say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from transect.rpc.envoy.trial import messages
from transect.rpc.messages.protos import compile_protos, from_set

SAMPLE = Path(__file__).parent / "protos" / "sample.proto"


def test_an_empty_message_one_with_every_field_and_none() -> None:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from google.protobuf.message import DecodeError

    data = compile_protos([SAMPLE])
    protos, pool = from_set(data), descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        pool.AddSerializedFile(file.SerializeToString())
    service = protos.service(protos.services[0])
    assert service is not None
    for method in service.methods:
        made: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName(method.request))
        empty, filled, none = messages(service, method.request)
        assert made.FromString(empty) == made()
        told = {field.name for field, _ in made.FromString(filled).ListFields()}
        oneofs = {one.name for oneof in made.DESCRIPTOR.oneofs for one in oneof.fields}
        groups = {field.name for field in made.DESCRIPTOR.fields if field.type == field.TYPE_GROUP}
        assert told >= {field.name for field in made.DESCRIPTOR.fields} - oneofs - groups
        with pytest.raises(DecodeError):
            made.FromString(none)
