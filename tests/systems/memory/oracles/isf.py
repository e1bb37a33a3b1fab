# SPDX-License-Identifier: Apache-2.0
"""Symbols and types of a kernel as volatility3 reads them (JSON, its intermediate symbol format)."""

from __future__ import annotations

import base64
from typing import Any

from transect.linux.btf import VOID, Kind, Member, Type
from transect.linux.image import Image

FORMAT = "6.2.0"
SYMBOL_TYPES = {  # types that plugins read of symbols, which kallsyms does not have
    "init_task": "task_struct",
    "modules": "list_head",
    "module_kset": "*kset",
    "init_pid_ns": "pid_namespace",
    "init_mm": "mm_struct",
    "page_offset_base": "unsigned long",
    "vmemmap_base": "unsigned long",
    "vmalloc_base": "unsigned long",
    "prog_idr": "idr",
    "mod_tree": "mod_tree_root",
}


class Isf:
    """One kernel's."""

    def __init__(self, image: Image) -> None:
        self.image, self.btf = image, image.btf
        self.names: dict[int, str] = {}
        self.types: dict[str, Any] = {"base_types": {}, "user_types": {}, "enums": {}}
        taken: set[tuple[Kind, str]] = set()
        for number in range(1, len(self.btf)):
            found = self.btf.type(number)
            if found.kind in (Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.ENUM64, Kind.INT):
                kind = Kind.STRUCT if found.kind is Kind.UNION else found.kind
                name = found.name or f"unnamed_{number}"
                if (kind, name) in taken:  # volatility3 knows one of each name
                    name = f"{name}_{number}" if found.kind is not Kind.INT else name
                taken.add((kind, name))
                self.names[number] = name

    def document(self) -> dict[str, Any]:
        """All of it."""
        base: dict[str, Any] = {
            "void": {"size": 0, "signed": False, "kind": "void", "endian": "little"},
            "pointer": {"size": 8, "signed": False, "kind": "int", "endian": "little"},
        }
        for number, name in self.names.items():
            found = self.btf.type(number)
            match found.kind:
                case Kind.INT:
                    kind = "bool" if name == "_Bool" else "char" if name == "char" else "int"
                    base[name] = {
                        "size": found.size,
                        "signed": found.signed,
                        "kind": kind,
                        "endian": "little",
                    }
                case Kind.STRUCT | Kind.UNION:
                    self.types["user_types"][name] = self._struct(found)
                case _:
                    self.types["enums"][name] = {
                        "size": found.size,
                        "base": "int" if found.size == 4 else "long long int",
                        "constants": dict(found.values),
                    }
        self.types["base_types"] = base
        return {"metadata": self._metadata(), **self.types, "symbols": self._symbols()}

    def _metadata(self) -> dict[str, Any]:
        source = {"kind": "symtab", "name": "vmlinuz", "hash_type": "sha256", "hash_value": self.image.sha256}
        return {
            "format": FORMAT,
            "producer": {"name": "transect tests", "version": "0.1"},
            "linux": {"symbols": [source], "types": [source]},
        }

    def _symbols(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for symbol in self.image.symbols:
            found.setdefault(symbol.name, {"address": symbol.address})
        for name, kind in SYMBOL_TYPES.items():
            if name in found:
                found[name]["type"] = self._named(kind)
        found.pop(
            "taint_flags", None
        )  # volatility3 wants a field that they have no longer; it has a table of its own
        banner = self.image.banner + b"\0"
        found["linux_banner"] |= {
            "type": {"kind": "array", "count": len(banner), "subtype": {"kind": "base", "name": "char"}},
            "constant_data": base64.b64encode(banner).decode(),
        }
        return found

    def _named(self, name: str) -> dict[str, Any]:
        if name.startswith("*"):
            return {"kind": "pointer", "subtype": self._named(name[1:])}
        if name in ("unsigned long",):
            return {"kind": "base", "name": name}
        return {"kind": "struct", "name": name}

    def _struct(self, found: Type) -> dict[str, Any]:
        fields = {}
        for place, member in enumerate(found.members):
            name = member.name or f"unnamed_field_{place}"
            fields[name] = {"offset": member.bit_offset // 8, "type": self._member(member)}
            if not member.name:
                fields[name]["anonymous"] = True
        kind = "union" if found.kind is Kind.UNION else "struct"
        return {"kind": kind, "size": found.size, "fields": fields}

    def _member(self, member: Member) -> dict[str, Any]:
        inner = self._type(member.type)
        if not member.bits:
            return inner
        return {
            "kind": "bitfield", "bit_position": member.bit_offset % 8, "bit_length": member.bits, "type": inner,
        }  # fmt: skip

    def _type(self, number: int) -> dict[str, Any]:
        found = VOID if number == 0 else self.btf.resolve(number)
        match found.kind:
            case Kind.PTR:
                return {"kind": "pointer", "subtype": self._type(found.target)}
            case Kind.ARRAY:
                return {"kind": "array", "count": found.length, "subtype": self._type(found.target)}
            case Kind.STRUCT:
                return {"kind": "struct", "name": self.names[found.id]}
            case Kind.UNION:
                return {"kind": "union", "name": self.names[found.id]}
            case Kind.ENUM | Kind.ENUM64:
                return {"kind": "enum", "name": self.names[found.id]}
            case Kind.INT:
                return {"kind": "base", "name": self.names[found.id]}
            case Kind.FUNC_PROTO:
                return {"kind": "function"}
            case _:
                return {"kind": "base", "name": "void"}
