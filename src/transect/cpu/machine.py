# SPDX-License-Identifier: Apache-2.0
"""A scheduler in force in a machine of its own: what `cpu run --vm`, the tests, the demo and the benchmarks use."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from transect.base.temporary import Temporary
from transect.base.unavailable import Unavailable
from transect.core.codec import CodecError
from transect.core.ir import Program
from transect.cpu.build import build, build_shim
from transect.cpu.built import Built
from transect.cpu.kernel import WATCH_S, Ended, Missing
from transect.cpu.partial import opted_in
from transect.cpu.record import Recording
from transect.cpu.version import Kept
from transect.linux.libbpf import BpfError
from transect.replay.log import Trailer
from transect.vm import Kernel, NotStarted, Setup, Vm, VmError, find
from transect.vm.console import stuck, watched

ANSWER_S = (
    180.0  # for the answer to a request; loading takes a second in emulation, and many on a busy machine
)
LONGEST = 32 << 20  # bytes of an answer: the log of the kernel's verifier is the longest
SILENT_S = 20.0  # after which we say that we are waiting
LIFE_S = 3600  # of the machine; it ends with this process before that
LOOK_S = 0.2  # between two looks whether the loader has ended
SCHED_EXT = (6, 12)  # the first kernel that has it


class Bench:
    """A machine, and schedulers in it.  `with Bench() as bench: bench.force(program); bench.run([…])`."""

    def __init__(
        self,
        *,
        kernel: Kernel | None = None,
        cpus: int = 2,
        nodes: int = 1,
        partial: bool = False,
        life_s: int = LIFE_S,
        ahead: Sequence[Program] = (),
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`ahead`: policies that will be put in force; they are compiled while the machine boots.

        `partial`: schedulers have only the tasks that opted in, with the command's among them.
        """
        self.partial = partial
        self._say = say
        chosen = kernel or find(say=say)
        self._work = Temporary("transect-cpu-")
        self.folder = Path(self._work.name).resolve()
        self._answers: queue.Queue[bytes | None] = queue.Queue()  # None: one that is too long
        self._asking = threading.Lock()  # answers come in the order of requests, so one is made at a time
        self._rest = b""
        self._too_long = False  # the rest of the current line is to be skipped
        self._guest: Any = None
        self._built: dict[tuple[str, str, bool, bool], Built] = {}
        self._shims: dict[tuple[bool, bool], Path] = {}
        self._recording: tuple[Recording, Path] | None = None
        self._recordings = 0
        try:
            with ThreadPoolExecutor(1) as beside:
                for program in ahead:
                    beside.submit(self.build, program)  # an error comes again when the object is needed
                self.vm = Vm(Setup(chosen, cpus=cpus, nodes=nodes, job=self.folder, life_s=life_s), say=say)
        except BaseException:
            self._work.cleanup()
            raise
        if self.vm.run(["test", "-d", "/sys/kernel/sched_ext"]).code:
            self.close()
            why = f"{self.vm.release} is built without sched_ext"
            raise Unavailable("schedulers", why, "leave `--kernel` and `--version` out")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def carrier(self) -> str:
        return f"a machine of its own, {self.vm.release}"

    # --- schedulers ----------------------------------------------------------------------------------------------

    def build(self, program: Program, *, recording: bool = False, watching: bool = False) -> Built:
        """Compile it, once, and outside of the machine: in emulation it would take many times as long."""
        key = program.name, program.source_hash, recording, watching
        if key not in self._built:
            stem = f"version{len(self._built)}"
            self._built[key] = build(program, self.folder, stem, recording=recording)
            self.shim(self._built[key])
        return self._built[key]

    def shim(self, first: Built) -> str:
        """The object of the shim for this first policy; each form is compiled once."""
        kind = self.partial, first.hears_all
        if kind not in self._shims:
            self._shims[kind] = build_shim(self.folder, partial=self.partial, hears_all=first.hears_all)
        return str(self._shims[kind])

    def force(self, program: Program | Built) -> Built:
        """Put a policy in force.  Raises `BpfError`, `Ended`."""
        built = program if isinstance(program, Built) else self.build(program)
        self.ask("load", built=str(built.object.with_suffix(".json")), shim=self.shim(built))
        return built

    def _loader(self) -> Any:
        """The process in the machine that puts schedulers in force, and takes them out."""
        if self._guest is None:
            command = [str(self.vm.setup.python), "-s", "-S", "-m", "transect.cpu.guest"]
            self._guest = self.vm.start(command, input=True, stdout=self._take, env=self._environment())
        return self._guest

    def upgrade(
        self, program: Program | Built, /, *, watch_s: float = WATCH_S, watching: Program | None = None
    ) -> dict[str, str]:
        """Put another version in its place; return what became of each field.  Raises `Kept`, `BpfError`, `Ended`."""
        built = program if isinstance(program, Built) else self.build(program)
        looks = (
            None if watching is None else str(self.build(watching, watching=True).object.with_suffix(".json"))
        )
        path = str(built.object.with_suffix(".json"))
        answer = self.ask("upgrade", built=path, watching=looks, watch_s=watch_s)
        fields: dict[str, str] = answer["fields"]
        return fields

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.ask("status")
        return status

    def stop(self) -> None:
        """Back to the default scheduler."""
        if self._guest is not None:
            self.ask("leave")

    def kill(self) -> None:
        """End the loader as `kill -9` does: the kernel ends the scheduler with it."""
        if self._guest is None:
            return
        self._guest.kill()
        self._guest.wait(ANSWER_S)
        self._guest = None
        self._rest, self._too_long = b"", False
        self._answers = queue.Queue()

    def record(self, program: Program, sources: Mapping[str, str], path: Path, name: str) -> None:
        """Record every call of the policy in force in a new log.  Raises FileExistsError, OSError, `BpfError`.

        Events wait in a file until the recording ends: to make a log of them meanwhile would take the machine's time.
        """
        if path.exists():
            raise FileExistsError(path)
        built = self.build(program, recording=True)
        self._recordings += 1  # the machine may still know a file that had the same name
        raw = self.folder / f"events{self._recordings}"
        raw.touch(mode=0o600)
        answer = self.ask("record", built=str(built.object.with_suffix(".json")), raw=str(raw))
        try:
            recording = Recording(
                path, name, real=True, cpus=answer["cpus"], nodes=answer["nodes"], tape=built.tape
            )
        except OSError:
            self.ask("end-record")
            raise
        recording.policy(program, sources, answer["fields"])
        self._recording = recording, raw

    def end_record(self) -> Trailer:
        """Close the log.  Raises OSError if it is not whole."""
        assert self._recording is not None, "the end of no recording"
        recording, raw = self._recording
        self._recording = None
        lost, failure = 0, "the loader ended before the recording did"
        try:
            answer = self.ask("end-record")
            lost, failure = answer["lost"], answer["failure"]
        except (VmError, Ended):
            pass  # everything that came until then is kept, and `failure` says that it is not all
        try:
            recording.take_file(raw)
        except CodecError as wrong:
            failure = f"what came from the machine is damaged: {wrong}"
        raw.unlink()
        return recording.close(lost, failure)

    def force_alone(self, program: Program | Built) -> dict[str, int]:
        """Put it in force without the shim, for comparison; return how many instructions the verifier examined, by
        operation.
        """
        built = program if isinstance(program, Built) else self.build(program)
        answer = self.ask("direct", built=str(built.object.with_suffix(".json")))
        instructions: dict[str, int] = answer["instructions"]
        return instructions

    def set(self, field: str, words: Sequence[int]) -> list[int]:
        """Give a parameter another value, in words; return the value before."""
        before: list[int] = self.ask("set", field=field, words=list(words))
        return before

    def check(self) -> None:
        """Raises `Ended` once the kernel has ended the scheduler."""
        self.ask("check")

    def command(self, words: Sequence[str], write: Callable[[bytes], None]) -> int:
        """Run a command with its output written by `write`; return its exit code."""
        if self.partial:
            words = opted_in(self.vm.setup.python, words)
        try:
            with watched(self.vm.console, self._say):
                return self.vm.run(list(words), limit_s=None, cwd=Path.cwd(), stdout=write, stderr=write).code
        except NotStarted as refused:
            write(f"{refused}\n".encode())
            return refused.code

    def close(self) -> None:
        self.vm.close()
        self._work.cleanup()

    def ask(self, do: str, **arguments: Any) -> Any:
        """Make one request.  Raises `Kept`, `BpfError`, `Ended`."""
        if self._guest is None and do not in ("load", "direct"):
            raise VmError(f"nothing is in force: no `{do}`")
        with self._asking:
            self._loader().write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            with watched(self.vm.console, self._say):
                return self._answer(do)

    def _answer(self, do: str) -> Any:
        answer = json.loads(self._line(do))
        match answer["kind"]:
            case "done":
                return answer["value"]
            case "refused":
                raise Kept(answer["why"], answer["hint"])
            case "missing":
                raise Missing(answer["function"], answer["line"])
            case "ended":
                raise Ended(answer["reason"], answer["message"], answer["dump"])
            case _:
                raise BpfError(answer["why"], 0, answer["log"])

    def _line(self, do: str) -> bytes:
        began, told = time.monotonic(), False
        while True:
            waited = time.monotonic() - began
            last = self._guest.ended or waited > ANSWER_S  # what it said before it ended counts
            try:
                answer = self._answers.get(timeout=LOOK_S)
            except queue.Empty:
                if last:
                    raise VmError(self.vm.last_words(self._silence(do))) from None
            else:
                if answer is None:
                    why = f"the answer of the loader to `{do}` has more than {LONGEST:,} bytes"
                    raise VmError(self.vm.last_words(why))
                return answer
            if waited > SILENT_S and not told:
                told = True
                limits = f"for {SILENT_S:g} s; it is given up after {ANSWER_S:g} s"
                self._say(f"the loader in the machine has not answered `{do}` {limits}")

    def _silence(self, do: str) -> str:
        """Why the loader does not answer."""
        if not self._guest.ended:
            line = stuck(self.vm.console)
            why = f": a processor of the machine does not get on ({line})" if line else ""
            return f"the loader in the machine did not answer `{do}` within {ANSWER_S:g} s{why}"
        said = self._guest.wait().stderr.decode(errors="replace").strip()
        return f"the loader has ended: {said.splitlines()[-1] if said else 'it was killed'}"

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._too_long and lines:
            del lines[0]  # its end
            self._too_long = False
        for line in lines:
            self._answers.put(line)
        if len(self._rest) > LONGEST:
            self._rest = b""
            if not self._too_long:
                self._answers.put(None)
            self._too_long = True

    def _environment(self) -> dict[str, str]:
        """Makes our own modules importable for the Python there: loading needs only the standard library."""
        return {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"}

    # --- commands ------------------------------------------------------------------------------------------------

    def scheduler(self) -> str:
        """What the kernel says is in force: `enabled`, `disabled`."""
        return self.vm.run(["cat", "/sys/kernel/sched_ext/state"]).text.strip()

    def shell(self, script: str, limit_s: float = 60) -> str:
        """Run a script; return its output.  Raises `VmError` if it fails."""
        done = self.vm.run(["sh", "-c", script], limit_s=limit_s)
        if done.code:
            raise VmError(f"{script}: exit code {done.code}\n{done.stderr.decode(errors='replace')}")
        return done.text
