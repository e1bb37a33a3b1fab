# SPDX-License-Identifier: Apache-2.0
"""Modules that hide: four places know them, and each is compared with the list."""

from transect.memory import Probe, linux


class HiddenModules(Probe):
    """Modules which sysfs or the tree of addresses knows and the list of modules does not."""

    def scan(self) -> None:
        listed = {module.address for module in linux.modules()}
        for known in linux.module_objects():
            if known.module is not None and known.module.address not in listed:
                self.report("in sysfs, not in the list", name=known.name, module=known.module.address)
        for node in linux.module_tree():
            if node.module.address not in listed:
                self.report("in the tree, not in the list", name=node.module.name, module=node.module.address)


class MissingModules(Probe):
    """Modules of the list which sysfs or the tree of addresses does not know."""

    def scan(self) -> None:
        tree = {node.module.address for node in linux.module_tree()}
        names = {known.name for known in linux.module_objects()}
        for module in linux.modules():
            if module.address not in tree:
                self.report("in the list, not in the tree", name=module.name, module=module.address)
            if module.name not in names:
                self.report("in the list, not in sysfs", name=module.name, module=module.address)


class StrayCode(Probe):
    """Executable pages of the kernel, wherever they lie, which nothing on record accounts for."""

    def scan(self) -> None:
        for page in linux.stray_code():
            self.report("code that nobody owns", page=page, begins=linux.bytes_at(page, 16))


class Taint(Probe):
    """Taints of modules that the kernel's own record lacks: somebody washed it."""

    def scan(self) -> None:
        mask = linux.u64_at(linux.symbol("tainted_mask"))
        for module in linux.modules():
            if module.taints & ~mask != 0:
                self.report("a washed taint", name=module.name, taints=module.taints, kernel=mask)
