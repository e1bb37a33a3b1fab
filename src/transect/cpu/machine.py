# SPDX-License-Identifier: Apache-2.0
"""A scheduler in force in a machine of its own: what `cpu run --vm`, the tests, the demo and the benchmarks use."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from transect.base.unavailable import Unavailable
from transect.core.ir import Program
from transect.cpu.build import build, build_shim
from transect.cpu.built import Built
from transect.cpu.force import WATCH_S, Ended, Kept, Missing
from transect.cpu.record import Recording
from transect.linux.libbpf import BpfError
from transect.replay.log import Trailer
from transect.vm import Kernel, NotStarted, Setup, Vm, VmError, find

ANSWER_S = 60.0  # of a request; loading takes a second in emulation, more on a busy machine
LOOK_S = 0.2  # how often we see whether the loader has ended
SCHED_EXT = (6, 12)  # the first kernel that has it


class Bench:
    """A machine, and schedulers in it.  `with Bench() as bench: bench.force(program); bench.run([…])`."""

    def __init__(
        self, *, kernel: Kernel | None = None, cpus: int = 2, say: Callable[[str], None] = lambda _: None
    ) -> None:
        chosen = kernel or find(say=say)
        self.vm = Vm(Setup(chosen, cpus=cpus), say=say)
        self.folder = self.vm.job
        self._answers: queue.Queue[bytes] = queue.Queue()
        self._rest = b""
        self._guest: Any = None
        self._built = 0
        self._recording: tuple[Recording, Path] | None = None
        if self.vm.run(["test", "-d", "/sys/kernel/sched_ext"]).code:
            self.vm.close()
            why = f"{self.vm.release} is built without sched_ext"
            raise Unavailable("schedulers", why, "leave `--kernel` and `--version` out")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.vm.close()

    # --- schedulers ----------------------------------------------------------------------------------------------

    def build(self, program: Program, *, recording: bool = False) -> Built:
        """Compile it, outside: emulation would take many times as long."""
        self._built += 1
        return build(program, self.folder, f"version{self._built}", recording=recording)

    def force(self, program: Program | Built) -> Built:
        """Put a policy in force.  Raises `BpfError`, `Ended`."""
        built = program if isinstance(program, Built) else self.build(program)
        if self._guest is None:
            build_shim(self.folder)
            self._start(str(self.folder / "shim.o"))
            self._answer()
        self.ask("load", built=str(built.object.with_suffix(".json")))
        return built

    def _start(self, *words: str) -> None:
        command = [str(self.vm.setup.python), "-m", "transect.cpu.guest", *words]
        self._guest = self.vm.start(command, input=True, stdout=self._take, env=self._environment())

    def upgrade(self, program: Program | Built, /, *, watch_s: float = WATCH_S) -> dict[str, str]:
        """Put another version in its place; what became of each field.  Raises `Kept`, `BpfError`, `Ended`."""
        built = program if isinstance(program, Built) else self.build(program)
        answer = self.ask("upgrade", built=str(built.object.with_suffix(".json")), watch_s=watch_s)
        fields: dict[str, str] = answer["fields"]
        return fields

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.ask("status")
        return status

    def stop(self) -> None:
        """Back to the default scheduler."""
        if self._guest is not None:
            self._guest.write(b'{"do": "stop"}\n')
            self._guest.close_input()
            self._guest.wait(ANSWER_S)
            self._guest = None
            self._rest = b""
            while not self._answers.empty():
                self._answers.get()

    def record(self, program: Program, sources: Mapping[str, str], path: Path, name: str) -> None:
        """Keep every call of the policy in force in a new log.  Raises FileExistsError, OSError, `BpfError`.

        Events wait in a file until the recording ends: making a log of them meanwhile would take the machine's time.
        """
        if path.exists():
            raise FileExistsError(path)
        built = self.build(program, recording=True)
        raw = self.folder / f"events{self._built}"
        raw.touch(mode=0o600)
        answer = self.ask("record", built=str(built.object.with_suffix(".json")), raw=str(raw))
        try:
            recording = Recording(path, name, real=True, cpus=answer["cpus"], tape=built.tape)
        except OSError:
            self.ask("end-record")
            raise
        recording.policy(program, sources, answer["fields"])
        self._recording = recording, raw

    def end_record(self) -> Trailer:
        """Close the log.  Raises OSError when it is not whole."""
        assert self._recording is not None, "the end of no recording"
        recording, raw = self._recording
        self._recording = None
        lost, failure = 0, "the loader ended before the recording did"
        try:
            answer = self.ask("end-record")
            lost, failure = answer["lost"], answer["failure"]
        except (VmError, Ended):
            pass  # what came until then is kept, and `failure` says that it is not all
        recording.take_file(raw)
        raw.unlink()
        return recording.close(lost, failure)

    def force_alone(self, program: Program | Built) -> dict[str, int]:
        """Without the shim, for comparison; what the verifier went through, by operation."""
        built = program if isinstance(program, Built) else self.build(program)
        self._start("--direct", str(built.object.with_suffix(".json")))
        instructions: dict[str, int] = self._answer()["instructions"]
        return instructions

    def set(self, field: str, value: int) -> int:
        """Give a parameter another value; the one before."""
        before: int = self.ask("set", field=field, value=value)
        return before

    def check(self) -> None:
        """Raises `Ended` once the kernel has ended the scheduler."""
        self.ask("check")

    def command(self, words: Sequence[str], write: Callable[[bytes], None]) -> int:
        """Run a command with its output going there; its exit code."""
        try:
            return self.vm.run(list(words), limit_s=None, cwd=Path.cwd(), stdout=write, stderr=write).code
        except NotStarted as refused:
            write(f"{refused}\n".encode())
            return refused.code

    def close(self) -> None:
        self.vm.close()

    def ask(self, do: str, **arguments: Any) -> Any:
        """One request.  Raises `Kept`, `BpfError`, `Ended`."""
        self._guest.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        return self._answer()

    def _answer(self) -> Any:
        answer = json.loads(self._line())
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

    def _line(self) -> bytes:
        end = time.monotonic() + ANSWER_S
        while True:
            last = self._guest.ended or time.monotonic() > end  # what it said before it ended counts
            try:
                return self._answers.get(timeout=LOOK_S)
            except queue.Empty:
                if last:
                    raise VmError(self.vm.last_words(self._silence())) from None

    def _silence(self) -> str:
        """Why the loader does not answer."""
        if not self._guest.ended:
            return "the loader does not answer"
        said = self._guest.wait().stderr.decode(errors="replace").strip()
        return f"the loader has ended: {said.splitlines()[-1] if said else 'it was killed'}"

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._answers.put(line)

    def _environment(self) -> dict[str, str]:
        """Our own modules, whichever Python runs there: loading needs the standard library only."""
        return {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"}

    # --- commands ------------------------------------------------------------------------------------------------

    def scheduler(self) -> str:
        """What the kernel says is in force: `enabled`, `disabled`."""
        return self.vm.run(["cat", "/sys/kernel/sched_ext/state"]).text.strip()

    def shell(self, script: str, limit_s: float = 60) -> str:
        """Run it; its output.  Raises `VmError` when it fails."""
        done = self.vm.run(["sh", "-c", script], limit_s=limit_s)
        if done.code:
            raise VmError(f"{script}: exit code {done.code}\n{done.stderr.decode(errors='replace')}")
        return done.text
