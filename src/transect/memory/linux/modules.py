# SPDX-License-Identifier: Apache-2.0
"""Modules, as each of the places which know them has them."""

from __future__ import annotations

from collections.abc import Sequence

from transect.lang import intrinsic, u32, u64
from transect.memory.hooks import Struct
from transect.memory.layout import at, either, latch, listed


class Module(Struct, of="module"):
    """A loaded module."""

    name: bytes
    state: u32
    text: u64 = either(at("mem[0].base"), at("core_layout.base"))
    text_size: u32 = either(at("mem[0].size"), at("core_layout.text_size"))
    taints: u64
    version: bytes


class ModuleObject(Struct, of="module_kobject"):
    """A module in sysfs; those that are built in have none behind them."""

    name: bytes = at("kobj.name")
    module: Module | None = at("mod")


class ModuleNode(Struct, of="mod_tree_node"):
    """A stretch of a module's memory, in the tree that finds modules by address."""

    module: Module = at("mod")


@intrinsic(effect="outside-read")
def modules() -> Sequence[Module]:
    """The list of modules (what `lsmod` shows)."""
    return listed("modules", by="list")


@intrinsic(effect="outside-read")
def module_objects() -> Sequence[ModuleObject]:
    """Modules in sysfs (`/sys/module`)."""
    return listed("kset *module_kset.list", by="kobj.entry", least=1)


@intrinsic(effect="outside-read")
def module_tree() -> Sequence[ModuleNode]:
    """Modules by their addresses."""
    return latch("mod_tree_root mod_tree.root", by="node")
