# SPDX-License-Identifier: Apache-2.0
"""Places at which code can hang itself into a kernel."""

from __future__ import annotations

from collections.abc import Sequence

from transect.lang import i32, intrinsic, u16, u32, u64
from transect.memory.hooks import Struct
from transect.memory.layout import (
    array,
    at,
    chain,
    either,
    hashed,
    idr,
    listed,
    offsets,
    pointers,
    single,
    together,
)


class FtraceOps(Struct, of="ftrace_ops"):
    """A function that is called when traced functions are entered."""

    function: u64 = at("func")
    saved: u64 = at("saved_func")
    flags: u64
    trampoline: u64
    direct: u64 = at("direct_call")


class Kprobe(Struct, of="kprobe"):
    """A breakpoint with handlers."""

    at_address: u64 = at("addr")
    before: u64 = at("pre_handler")
    after: u64 = at("post_handler")
    flags: u32


class TracepointFunction(Struct, of="tracepoint_func"):
    """A function that listens to a tracepoint."""

    function: u64 = at("func")


class Tracepoint(Struct, of="tracepoint"):
    """A tracepoint, with those who listen."""

    name: bytes
    functions: Sequence[TracepointFunction] = array("funcs", most=256)


class BpfProgram(Struct, of="bpf_prog"):
    """A loaded BPF program."""

    number: u32 = at("aux.id")
    name: bytes = at("aux.name")
    kind: u32 = at("type")
    function: u64 = at("bpf_func")
    loaded_by: u32 = at("aux.user.uid.val")
    attached_to: bytes = at("aux.attach_func_name")


class NetHook(Struct, of="nf_hook_entry"):
    """A function that sees packets."""

    function: u64 = at("hook")
    private: u64 = at("priv")


class NetHooks(Struct, of="nf_hook_entries"):
    """The functions at one place in the way of packets."""

    hooks: Sequence[NetHook] = array("hooks", count="num_hook_entries", most=1024)


class PacketHandler(Struct, of="packet_type"):
    """A function that is given packets of a protocol, or all of them."""

    function: u64 = at("func")
    protocol: u16 = at("type")


class Notifier(Struct, of="notifier_block"):
    """A function that is told of events."""

    function: u64 = at("notifier_call")
    priority: i32


class SeqOperations(Struct, of="seq_operations"):
    """Functions behind a file of /proc."""

    start: u64
    stop: u64
    next: u64
    show: u64


class LineDiscipline(Struct, of="tty_ldisc_ops"):
    """What a terminal does with what it receives."""

    name: bytes
    receive: u64 = at("receive_buf")
    receive_more: u64 = at("receive_buf2")


class Terminal(Struct, of="tty_struct"):
    """An open terminal."""

    name: bytes
    discipline: LineDiscipline = at("ldisc.ops")


class TerminalDriver(Struct, of="tty_driver"):
    """A driver of terminals."""

    name: bytes
    operations: u64 = at("ops")
    terminals: Sequence[Terminal] = pointers("ttys", count="num", most=1048576)


@intrinsic(effect="outside-read")
def ftrace_ops() -> Sequence[FtraceOps]:
    """Who is called by ftrace; the last one (`ftrace_list_end`) does nothing."""
    return chain("ftrace_ops_list", by="next", of="ftrace_ops", least=1)


@intrinsic(effect="outside-read")
def kprobes() -> Sequence[Kprobe]:
    """Every kprobe."""
    return hashed("kprobe_table", by="hlist", count=64)


@intrinsic(effect="outside-read")
def tracepoints() -> Sequence[Tracepoint]:
    """Every tracepoint of the kernel itself."""
    return offsets("__start___tracepoints_ptrs", until="__stop___tracepoints_ptrs", least=1)


@intrinsic(effect="outside-read")
def bpf_programs() -> Sequence[BpfProgram]:
    """Every loaded BPF program."""
    return idr("prog_idr", of="bpf_prog")


@intrinsic(effect="outside-read")
def net_hooks() -> Sequence[NetHooks]:
    """Netfilter's places, in every network namespace."""
    return together(
        pointers(listed("net_namespace_list", by="list", of="net", least=1), "nf.hooks_ipv4", count=5),
        pointers(listed("net_namespace_list", by="list", of="net", least=1), "nf.hooks_ipv6", count=5),
        pointers(listed("net_namespace_list", by="list", of="net", least=1), "nf.hooks_arp", count=3),
        pointers(listed("net_namespace_list", by="list", of="net", least=1), "nf.hooks_bridge", count=5),
    )


@intrinsic(effect="outside-read")
def packet_handlers() -> Sequence[PacketHandler]:
    """Who is given packets: by their protocol, and all of them, of every network device or of one."""
    nets = listed("net_namespace_list", by="list", of="net", least=1)
    devices = listed(nets, "dev_base_head", by="dev_list", of="net_device", least=1)
    return together(
        listed(array("list_head ptype_base", count=16, of="list_head"), "next", by="list", least=1),
        either(
            together(listed(nets, "ptype_all", by="list"), listed(nets, "ptype_specific", by="list")),
            listed("net_hotdata net_hotdata.ptype_all", by="list"),
            listed("ptype_all", by="list"),
        ),
        listed(devices, "ptype_all", by="list"),
        listed(devices, "ptype_specific", by="list"),
    )


@intrinsic(effect="outside-read")
def keyboard_notifiers() -> Sequence[Notifier]:
    """Who is told of keys."""
    return chain("atomic_notifier_head keyboard_notifier_list.head", by="next")


@intrinsic(effect="outside-read")
def notifiers() -> Sequence[Notifier]:
    """Who is told of keys, terminals, modules, network devices and addresses, faults, panics and restarts."""
    return together(
        chain("atomic_notifier_head keyboard_notifier_list.head", by="next"),
        chain("atomic_notifier_head vt_notifier_list.head", by="next"),
        chain("atomic_notifier_head panic_notifier_list.head", by="next"),
        chain("atomic_notifier_head die_chain.head", by="next"),
        chain("blocking_notifier_head module_notify_list.head", by="next", least=1),
        chain("blocking_notifier_head reboot_notifier_list.head", by="next"),
        chain("blocking_notifier_head inetaddr_chain.head", by="next"),
        chain("raw_notifier_head netdev_chain.head", by="next"),
    )


@intrinsic(effect="outside-read")
def terminal_drivers() -> Sequence[TerminalDriver]:
    """Every driver of terminals."""
    return listed("tty_drivers", by="tty_drivers", least=1)


@intrinsic(effect="outside-read")
def socket_lists() -> Sequence[SeqOperations]:
    """What shows the sockets of TCP and UDP in /proc/net."""
    return together(
        single("seq_operations tcp4_seq_ops"),
        single("seq_operations tcp6_seq_ops"),
        single("seq_operations udp_seq_ops"),
        single("seq_operations udp6_seq_ops"),
    )


@intrinsic(effect="outside-read")
def proc_operations() -> Sequence[u64]:
    """Addresses of the operations of the root of /proc and of its directories."""
    raise NotImplementedError
