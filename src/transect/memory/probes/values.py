# SPDX-License-Identifier: Apache-2.0
"""What `transect memory ps` and `lsmod` print; not part of a scan."""

from transect.memory import Probe, linux


class Processes(Probe):
    """Every process, with those that hide."""

    def scan(self) -> None:
        listed = {task.address for task in linux.tasks()}
        for task in linux.tasks():
            self.show(
                "", pid=task.pid, parent=task.parent.tgid, uid=task.uid, state=task.state, comm=task.comm
            )
        for task in linux.pid_table():
            if task.address not in listed:
                self.report("not in the list", pid=task.pid, uid=task.uid, state=task.state, comm=task.comm)


class Modules(Probe):
    """Every module, with those that hide."""

    def scan(self) -> None:
        listed = {module.address for module in linux.modules()}
        for module in linux.modules():
            self.show("", name=module.name, text=module.text, size=module.text_size, taints=module.taints)
        for known in linux.module_objects():
            if known.module is not None and known.module.address not in listed:
                self.report("not in the list", name=known.name)
        for node in linux.module_tree():
            if node.module.address not in listed:
                self.report("not in the list", name=node.module.name, text=node.module.text)
