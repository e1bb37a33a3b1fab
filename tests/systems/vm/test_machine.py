# SPDX-License-Identifier: Apache-2.0
"""What a throw-away machine gives and what it keeps from its commands.  One boot for most of them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts import ROOT, need
from transect.vm import Kernel, NotStarted, Setup, TimeLimit, Vm, VmError


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    found = need("vm")
    assert isinstance(found, Kernel)
    return found


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("job")


@pytest.fixture(scope="module")
def vm(kernel: Kernel, job: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vm]:
    ram = tmp_path_factory.mktemp("ram") / "ram"
    with Vm(Setup(kernel, job=job, ram=ram, memory_mib=512)) as machine:
        yield machine


def shell(vm: Vm, script: str) -> str:
    done = vm.run(["sh", "-c", script])
    assert done.code == 0, done.stderr.decode()
    return done.text


def test_the_kernel_is_the_one_that_was_asked_for(vm: Vm, kernel: Kernel) -> None:
    assert shell(vm, "uname -r").strip() == kernel.release == vm.release


def test_output_error_and_exit_code_are_the_commands_own(vm: Vm) -> None:
    done = vm.run(["sh", "-c", "cat; echo err >&2; exit 7"], input=b"in")
    assert (done.code, done.stdout, done.stderr) == (7, b"in", b"err\n")


def test_a_killed_command_ends_as_in_a_shell(vm: Vm) -> None:
    assert vm.run(["sh", "-c", "kill -TERM $$"]).code == 128 + 15


def test_what_cannot_be_started_says_so(vm: Vm) -> None:
    with pytest.raises(NotStarted, match="nonesuch: No such file") as refused:
        vm.run(["nonesuch"])
    assert refused.value.code == 127


def test_much_output_arrives_whole(vm: Vm) -> None:
    assert len(vm.run(["head", "-c", "3000000", "/dev/zero"]).stdout) == 3_000_000


def test_a_time_limit_kills_the_command_and_not_the_machine(vm: Vm) -> None:
    with pytest.raises(TimeLimit):
        vm.run(["sh", "-c", "sleep 98765 & sleep 98765"], limit_s=0.3)
    assert shell(vm, "pgrep -fc '^sleep 98765' || true").strip() == "0"


def test_commands_run_side_by_side(vm: Vm) -> None:
    slow = vm.start(["sh", "-c", "read line; echo $line"], input=True)
    assert shell(vm, "echo quick") == "quick\n"
    slow.write(b"slow\n")
    assert slow.wait(120).text == "slow\n"


def test_the_job_folder_has_the_same_name_on_both_sides(vm: Vm, job: Path) -> None:
    (job / "question").write_text("what")
    assert shell(vm, "pwd; cat question; echo that > $TRANSECT_JOB/answer") == f"{job}\nwhat"
    assert (job / "answer").read_text() == "that\n"


@pytest.mark.parametrize("place", ["/", "/etc", "/var/tmp", str(ROOT), str(Path.home()), "/tmp/.."])
def test_the_hosts_files_cannot_be_written(vm: Vm, place: str) -> None:
    name = f"{place}/transect-was-here"
    done = vm.run(
        ["sh", "-c", f"mount -o remount,rw / ; : > {name}; mkdir {name}.d; chmod 777 {place}; true"]
    )
    assert b"Read-only file system" in done.stderr
    assert not Path(name).exists() and not Path(name + ".d").exists()


def test_no_way_leads_from_the_job_folder_to_the_others(vm: Vm, job: Path) -> None:
    outside = job.parent / "outside"
    outside.mkdir()
    vm.run(
        [
            "sh",
            "-c",
            "ln -s ../outside link; echo > link/x; echo > ../outside/y; mount --move . /mnt; echo > /mnt/../z",
        ]
    )
    assert list(outside.iterdir()) == [] and not (job.parent / "z").exists()


def test_tmp_is_fresh_and_shows_the_hosts(vm: Vm, job: Path) -> None:
    assert shell(vm, "echo > /tmp/new-file-of-the-guest && ls /tmp/new-file-of-the-guest")
    assert not Path("/tmp/new-file-of-the-guest").exists()


def test_work_folder_sockets_and_ram_are_for_the_owner_alone(vm: Vm) -> None:
    def mode(path: Path) -> str:
        return oct(stat.S_IMODE(path.stat().st_mode))

    assert vm.setup.ram is not None
    assert mode(vm.folder) == "0o700" and mode(vm.setup.ram) == "0o600"
    assert {mode(path) for path in vm.folder.iterdir()} == {"0o600", "0o700"}
    if os.geteuid() == 0:
        peek = f"open({str(vm.setup.ram)!r}, 'rb')"
        other = subprocess.run(
            [sys.executable, "-c", f"import os; os.setuid(65534); {peek}"], capture_output=True
        )
        assert b"PermissionError" in other.stderr


def test_the_ram_file_is_the_machines_memory(vm: Vm) -> None:
    assert vm.setup.ram is not None and vm.setup.ram.stat().st_size == 512 << 20
    mark = b"MARK-" + os.urandom(8).hex().encode()
    vm.run(["dd", "of=/run/mark", "bs=4096"], input=mark)
    memory = vm.setup.ram.read_bytes()
    assert mark in memory


def test_the_loopback_interface_answers(vm: Vm) -> None:
    talk = (
        "import socket; a = socket.create_server(('127.0.0.1', 0)); socket.create_connection(a.getsockname())"
    )
    assert vm.run([sys.executable, "-c", talk]).code == 0


def test_a_machine_that_ends_under_a_command_says_so(vm: Vm) -> None:
    """The last of those that use it."""
    with pytest.raises(VmError, match="the machine went off under the command"):
        vm.run(["sh", "-c", "echo c > /proc/sysrq-trigger; sleep 600"], limit_s=120)
    vm.close()
    assert not vm.folder.exists()


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that a user without rights reaches: pytest closes those above its own to others whenever one starts."""
    with tempfile.TemporaryDirectory(prefix="transect-home-") as folder:
        yield Path(folder)


def test_a_shipped_image_boots_as_a_user_without_rights(kernel: Kernel, home: Path) -> None:
    """As the user who runs the tests, or as `nobody` when that is root; through the command line; nothing is left."""
    assert kernel.compressed is not None
    image = home / "vmlinuz"
    image.write_bytes(kernel.compressed.read_bytes())
    command = [
        sys.executable,
        "-m",
        "transect.cli",
        "vm",
        "--memory",
        "512",
        "--kernel",
        str(image),
        "--",
        "id",
        "-u",
    ]
    prefix = []
    if os.geteuid() == 0:
        for path in (home, image):
            os.chown(path, 65534, 65534)
        prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    done = subprocess.run(
        prefix + command,
        env={"HOME": str(home), "PATH": os.environ["PATH"], "TMPDIR": str(home)},
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr  # root inside maps to that user
    assert list(home.glob("transect-vm-*")) == []


def test_a_machine_ends_with_its_owner(kernel: Kernel) -> None:
    """Also while a command of it is talking: nobody hears that."""
    script = (
        "import os, sys; from pathlib import Path; from transect.vm import *; from transect.vm.kernel import *\n"
        "vm = Vm(Setup(find(), memory_mib=512, cpus=1)); print(vm.pid, flush=True)\n"
        "talking = vm.start(['sh', '-c', 'while :; do echo and on; done']); vm.run(['true'], limit_s=None)\n"
        "os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    pid, deadline = int(done.stdout), time.monotonic() + 120
    while Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline, "the machine lives on"
        time.sleep(0.2)
