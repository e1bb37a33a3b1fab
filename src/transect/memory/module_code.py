# SPDX-License-Identifier: Apache-2.0
"""Where a module says which stretches of memory hold its code: `mem[]` from Linux 6.4 on, two layouts before."""

from __future__ import annotations

from dataclasses import dataclass

from transect.linux.btf import Btf

PARTS = 7  # of `mem[]` at most


@dataclass(frozen=True)
class ModuleCode:
    """Offsets within `struct module`; bases have 64 bits, sizes 32."""

    start: int  # of what is read at once
    size: int
    # From there on, of the code that stays and of the code that runs once: where its base is, where its size is
    parts: tuple[tuple[int, int], ...]

    @staticmethod
    def of(btf: Btf) -> ModuleCode:
        """Raises `KernelDataError` where the kernel keeps it in no way that is known."""
        if btf.has("module", "core_layout"):
            named = [f"{name}_layout" for name in ("core", "init")]
            bases = [btf.field("module", f"{name}.base").offset for name in named]
            sizes = [btf.field("module", f"{name}.text_size").offset for name in named]
            start, end = min(bases), max(sizes) + 4
        else:
            start, part = btf.field("module", "mem").offset, btf.struct("module_memory")
            texts = btf.constants.get("MOD_TEXT", 0), btf.constants.get("MOD_INIT_TEXT", 4)
            base, size = (btf.field(part, name).offset for name in ("base", "size"))
            bases = [start + index * part.size + base for index in texts]
            sizes = [start + index * part.size + size for index in texts]
            end = start + PARTS * part.size
        parts = tuple((base - start, size - start) for base, size in zip(bases, sizes, strict=True))
        return ModuleCode(start, end - start, parts)
