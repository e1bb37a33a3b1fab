# SPDX-License-Identifier: Apache-2.0
"""What `transect memory ps` and `lsmod` print, and what only makes sense over many rounds; not part of a scan."""

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


class SecurityState(Probe):
    """SELinux that enforced its policy in an earlier round, and no longer does; by name, in `run`."""

    enforced: bool = False

    def scan(self) -> None:
        for state in linux.selinux():
            if self.enforced and not state.enforcing:
                self.report("SELinux no longer enforces", state=state.address)
            self.enforced = self.enforced or state.enforcing
            self.show("SELinux", initialized=state.initialized, enforcing=state.enforcing)
