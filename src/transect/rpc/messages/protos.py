# SPDX-License-Identifier: Apache-2.0
"""From descriptors to plain data.  Descriptors come from a compiled FileDescriptorSet, from .proto files (compiled here
by a protobuf compiler), from a generated module, or from a server's reflection; never from a parser of our own."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transect.base.bounded import is_file, is_folder, whole
from transect.base.programs import Endless, ran
from transect.base.unavailable import Unavailable
from transect.rpc.messages.wire import (
    Kind,
    Presence,
    ProtoEnum,
    ProtoField,
    ProtoMessage,
    ProtoMethod,
    ProtoService,
)

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, ServiceDescriptor
    from google.protobuf.descriptor_pool import DescriptorPool

EXTRA = "pip install 'transect[rpc]'"
LARGEST = 64 << 20  # bytes of a set of descriptors
LABEL_REPEATED = 3
PATIENCE_S = 60.0  # for a protobuf compiler
REFLECTION_TIMEOUT = 10.0  # seconds


class ProtoError(Exception):
    """Descriptors that cannot be found or read; the text says why, `help` what to do."""

    def __init__(self, text: str, help: str = "") -> None:
        super().__init__(text)
        self.help = help


class Protos:
    """All descriptors of one chain."""

    def __init__(self, pool: DescriptorPool, files: Sequence[str]) -> None:
        self._pool = pool
        self.files = tuple(files)

    @property
    def services(self) -> tuple[str, ...]:
        """Full names, in the order of the files."""
        found = (self._pool.FindFileByName(name).services_by_name.values() for name in self.files)
        return tuple(service.full_name for services in found for service in services)

    def service(self, name: str) -> ProtoService | None:
        """The service of that full name, with all messages which it can reach; None when there is none."""
        try:
            found = self._pool.FindServiceByName(name)
        except KeyError:
            return None
        return _service(found)


# ---------------------------------------------------------------- where descriptors come from


def from_set(data: bytes, name: str = "the descriptor set") -> Protos:
    """Descriptors from a serialised FileDescriptorSet (`protoc --descriptor_set_out --include_imports`)."""
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from google.protobuf.message import DecodeError

    try:
        files = FileDescriptorSet.FromString(data).file
    except DecodeError as error:
        raise ProtoError(
            f"{name} is no FileDescriptorSet",
            "make one: `protoc --include_imports --descriptor_set_out=x.binpb x.proto`",
        ) from error
    return _pool_of(list(files), name)


def from_files(paths: Sequence[Path], roots: Sequence[Path] = ()) -> Protos:
    """Descriptors from .proto files, which are compiled here, and from .binpb files.  `roots`: as for
    `compile_protos`."""
    check_files(paths, roots)
    _require("google.protobuf")
    sources = [path for path in paths if path.suffix == ".proto"]
    try:
        sets = [whole(path, LARGEST) for path in paths if path.suffix != ".proto"]
    except OSError as wrong:
        raise ProtoError(f"{wrong.filename} cannot be read: {wrong.strerror}", "let us read it") from wrong
    if sources:
        sets.append(compile_protos(sources, roots))
    return from_set(b"".join(sets), ", ".join(map(str, paths)))


def check_files(paths: Sequence[Path], roots: Sequence[Path] = ()) -> None:
    """Raises ProtoError where a file or folder is not there."""
    for path in paths:
        if not is_file(path):
            raise ProtoError(
                f"there is no file {path}",
                "`protos=` names .proto or .binpb files, relative to the chain file",
            )
    for root in roots:
        if not is_folder(root):
            raise ProtoError(
                f"there is no folder {root}",
                "`proto_path=` names folders below which imports are found, relative to the chain file",
            )


def compile_protos(paths: Sequence[Path], roots: Sequence[Path] = ()) -> bytes:
    """A FileDescriptorSet of .proto files and their imports.

    Imports are found below `roots`, and below the folder of each file that is below none of them.  Google's own protos
    (`google/protobuf/…`, `google/rpc/…`) are found where their packages are installed.
    """
    compiler = _protoc()
    roots = [root.resolve() for root in roots]
    paths = [path.resolve() for path in paths]
    beside = [path.parent for path in paths if not any(path.is_relative_to(root) for root in roots)]
    folders = dict.fromkeys(map(str, (*roots, *beside, *_installed())))
    with tempfile.TemporaryDirectory(prefix="transect-") as folder:
        target = Path(folder) / "set.binpb"
        arguments = [
            *(f"-I{f}" for f in folders),
            "--include_imports",
            f"--descriptor_set_out={target}",
            *map(str, paths),
        ]
        try:
            done = ran([*compiler, *arguments], patience_s=PATIENCE_S)
        except (OSError, Endless) as wrong:
            why = f"{compiler[0]}: {wrong}"
            raise Unavailable("a protobuf compiler", why, "pip install grpcio-tools") from wrong
        if done.status:
            raise ProtoError(
                f"the protobuf compiler refuses {', '.join(map(str, paths))}:\n{done.complaint.strip()}",
                _help_with(done.complaint),
            )
        try:
            return whole(target, LARGEST)
        except OSError as wrong:
            raise ProtoError(f"what they describe cannot be read: {wrong.strerror}", "split them") from wrong


def _installed() -> Iterator[Path]:
    """The root of `google/rpc/status.proto` and its like, where googleapis-common-protos is installed."""
    try:
        found = importlib.util.find_spec("google.rpc")
    except ModuleNotFoundError:
        return
    for place in (found.submodule_search_locations or ()) if found is not None else ():
        if (Path(place) / "status.proto").is_file():
            yield Path(place).parents[1]


GOOGLES = ("google/rpc/", "google/api/", "google/type/", "google/longrunning/")


def _help_with(said: str) -> str:
    """What to do about the compiler's complaint."""
    missing = re.findall(r"^(\S+\.proto): File not found", said, re.MULTILINE)
    if any(name.startswith(GOOGLES) for name in missing):
        return "pip install googleapis-common-protos"
    if missing:
        return f'name the folder below which {missing[0]} is: `proto_path=["…"]`'
    return "mend the .proto file"


def _protoc() -> list[str]:
    if importlib.util.find_spec("grpc_tools") is not None:
        return [sys.executable, "-W", "ignore", "-m", "grpc_tools.protoc"]
    if (found := shutil.which("protoc")) is not None:
        return [found]
    raise Unavailable(
        "a protobuf compiler", "neither grpc_tools nor protoc is installed", "pip install grpcio-tools"
    )


def from_module(module: Any) -> Protos:
    """Descriptors of a generated `…_pb2` module."""
    descriptor = module.DESCRIPTOR
    return Protos(descriptor.pool, [descriptor.name])


def from_reflection(target: str) -> Protos:
    """Descriptors of a running server which answers reflection requests (plain text, e.g. `localhost:50051`)."""
    _require("grpc")
    _require("grpc_reflection")
    import grpc

    until = time.monotonic() + REFLECTION_TIMEOUT
    with grpc.insecure_channel(target) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=REFLECTION_TIMEOUT)
            return _pool_of(_reflected(channel, target, until), target)
        except grpc.FutureTimeoutError as error:
            raise ProtoError(
                f"no answer from {target} within {REFLECTION_TIMEOUT:.0f} s",
                "start the server, or name its protos: `protos=[…]`",
            ) from error
        except grpc.RpcError as error:
            raise _unreflected(target, _said(error)) from error


def _unreflected(target: str, why: str) -> ProtoError:
    return ProtoError(
        f"{target} does not answer reflection requests: {why}",
        "enable reflection in the server, or name its protos: `protos=[…]`",
    )


def _said(error: Any) -> str:
    """A status as one line, since the text of a gRPC error has many."""
    return f"{error.code().name}: {error.details()}" if hasattr(error, "details") else str(error)


def _reflected(channel: Any, target: str, until: float) -> list[Any]:
    """The files of all services with those which they import, each once.  Raises ProtoError, RpcError."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.message import DecodeError
    from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
    from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

    stub: Any = ServerReflectionStub(channel)

    def answer(**asked: Any) -> Any:
        request = ServerReflectionRequest(**asked)
        replies = stub.ServerReflectionInfo(iter([request]), timeout=until - time.monotonic())
        if (reply := next(replies, None)) is None:
            raise _unreflected(target, "it answers nothing")
        replies.cancel()
        return reply

    listed = answer(list_services="")
    if not listed.HasField("list_services_response"):
        raise _unreflected(target, f"it lists no services: {listed.error_response.error_message}")
    services = listed.list_services_response.service
    wanted = deque({"file_containing_symbol": service.name} for service in services)
    files: dict[str, Any] = {}
    asked, size = set[str](), 0
    while wanted:
        # A service that is listed but not described is left out; whoever needs it learns that there is none.
        for data in answer(**wanted.popleft()).file_descriptor_response.file_descriptor_proto:
            size += len(data)
            if size > LARGEST:
                raise _unreflected(target, f"its descriptors have more than {LARGEST:,} bytes")
            try:
                file = FileDescriptorProto.FromString(data)
            except DecodeError as error:
                raise _unreflected(target, "it sends what is no descriptor") from error
            files.setdefault(file.name, file)
            missing = [name for name in file.dependency if name not in files and name not in asked]
            asked.update(missing)
            wanted.extend({"file_by_filename": name} for name in missing)
    return list(files.values())


def _require(module: str) -> None:
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise Unavailable(module, "this Python cannot import it", EXTRA)


def _pool_of(files: Iterable[Any], name: str) -> Protos:
    """A new pool with these files, each added after those which it imports."""
    from google.protobuf.descriptor_pool import DescriptorPool

    pool, waiting, order = DescriptorPool(), {file.name: file for file in files}, list[str]()

    def add(file: Any) -> None:
        del waiting[file.name]
        for imported in file.dependency:
            if imported in waiting:
                add(waiting[imported])
        try:
            pool.AddSerializedFile(file.SerializeToString())
        except TypeError as error:
            raise ProtoError(
                f"{name}: {file.name} cannot be used: {error}", "compile with `--include_imports`"
            ) from error
        order.append(file.name)

    try:
        while waiting:
            add(next(iter(waiting.values())))
    except RecursionError as error:
        raise ProtoError(
            f"{name}: files import each other in a chain that is too long", "put some together"
        ) from error
    return Protos(pool, order)


# ---------------------------------------------------------------- descriptors to data


def _service(service: ServiceDescriptor) -> ProtoService:
    messages: dict[str, ProtoMessage] = {}
    methods = []
    for method in service.methods:
        for message in (method.input_type, method.output_type):
            _collect(message, messages)
        methods.append(
            ProtoMethod(
                method.name,
                f"/{service.full_name}/{method.name}",
                method.input_type.full_name,
                method.output_type.full_name,
                method.client_streaming,
                method.server_streaming,
            )
        )
    return ProtoService(service.full_name, service.file.name, tuple(methods), messages)


def message_of(descriptor: Descriptor) -> dict[str, ProtoMessage]:
    """A message and all that it can reach, by full name."""
    messages: dict[str, ProtoMessage] = {}
    _collect(descriptor, messages)
    return messages


def _collect(descriptor: Descriptor, messages: dict[str, ProtoMessage]) -> None:
    waiting = [descriptor]
    while waiting:
        one = waiting.pop()
        if one.full_name not in messages:
            messages[one.full_name] = ProtoMessage(
                one.full_name, one.file.name, tuple(map(_field, one.fields))
            )
            waiting += [f.message_type for f in one.fields if f.message_type is not None]


_KINDS = dict(enumerate(Kind, start=1))  # FieldDescriptorProto.Type counts in this order


def _field(f: FieldDescriptor) -> ProtoField:
    kind = _KINDS[f.type]
    presence = _presence(f)
    plain = presence in (Presence.IMPLICIT, Presence.EXPLICIT) and not kind.nested
    oneof = f.containing_oneof
    return ProtoField(
        f.name,
        f.number,
        kind,
        presence,
        message=f.message_type.full_name if f.message_type is not None else "",
        enum=_enum(f.enum_type) if f.enum_type is not None else None,
        default=f.default_value if plain else None,
        oneof=oneof.name if oneof is not None and len(oneof.fields) > 1 else "",
    )


def _presence(f: FieldDescriptor) -> Presence:
    if _repeated(f):
        entry = f.message_type is not None and f.message_type.GetOptions().map_entry
        return Presence.MAP if entry else Presence.REPEATED
    return Presence.EXPLICIT if f.has_presence else Presence.IMPLICIT


def _repeated(f: FieldDescriptor) -> bool:
    known = getattr(f, "is_repeated", None)  # `label` is deprecated where this exists
    return bool(known) if known is not None else getattr(f, "label", 0) == LABEL_REPEATED


def _enum(enum: EnumDescriptor) -> ProtoEnum:
    return ProtoEnum(enum.full_name, tuple((v.name, v.number) for v in enum.values), enum.is_closed)
