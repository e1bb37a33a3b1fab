# SPDX-License-Identifier: Apache-2.0
"""Places at which code can hang itself into a kernel: what hangs there must be code that the kernel has on record."""

from transect.memory import Probe, linux


class Ftrace(Probe):
    """Functions called by ftrace."""

    def scan(self) -> None:
        for ops in linux.ftrace_ops():
            if not linux.trusted_code(ops.function):
                self.report(
                    "ftrace calls unknown code", function=ops.function, ops=ops.address, flags=ops.flags
                )


class Kprobes(Probe):
    """Handlers of kprobes."""

    def scan(self) -> None:
        for probe in linux.kprobes():
            at = linux.name_of(probe.at_address)
            if probe.before != 0 and not linux.trusted_code(probe.before):
                self.report("a kprobe calls unknown code", handler=probe.before, at=at, kprobe=probe.address)
            if probe.after != 0 and not linux.trusted_code(probe.after):
                self.report("a kprobe calls unknown code", handler=probe.after, at=at, kprobe=probe.address)


class Tracepoints(Probe):
    """Functions that listen to tracepoints."""

    def scan(self) -> None:
        for point in linux.tracepoints():
            for listener in point.functions:
                if not linux.trusted_code(listener.function):
                    self.report(
                        "a tracepoint calls unknown code", point=point.name, function=listener.function
                    )


class BpfPrograms(Probe):
    """BPF programs: their code must be in the kernel's record of BPF code."""

    def scan(self) -> None:
        for program in linux.bpf_programs():
            if not linux.trusted_code(program.function):
                self.report(
                    "a BPF program without a record", number=program.number, function=program.function
                )
            self.show("BPF program", number=program.number, name=program.name, by=program.loaded_by)


class Netfilter(Probe):
    """Functions that see packets."""

    def scan(self) -> None:
        for place in linux.net_hooks():
            for hook in place.hooks:
                if not linux.trusted_code(hook.function):
                    self.report("netfilter calls unknown code", function=hook.function, place=place.address)


class PacketHandlers(Probe):
    """Functions that are given packets of a protocol, or all of them."""

    def scan(self) -> None:
        for handler in linux.packet_handlers():
            if not linux.trusted_code(handler.function):
                self.report("packets go to unknown code", function=handler.function, handler=handler.address)


class Notifiers(Probe):
    """Functions that are told of keys, modules, network devices, restarts …"""

    def scan(self) -> None:
        for block in linux.notifiers():
            if not linux.trusted_code(block.function):
                self.report("a notifier calls unknown code", function=block.function, block=block.address)


class Terminals(Probe):
    """What terminals do with what they receive."""

    def scan(self) -> None:
        for driver in linux.terminal_drivers():
            for terminal in driver.terminals:
                line = terminal.discipline
                receive = line.receive if line.receive != 0 else line.receive_more
                if receive != 0 and not linux.trusted_code(receive):
                    self.report("a terminal calls unknown code", terminal=terminal.name, function=receive)
