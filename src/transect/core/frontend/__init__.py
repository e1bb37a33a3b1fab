# SPDX-License-Identifier: Apache-2.0
"""Policy text to checked programs.  The text is parsed, never imported; all errors of a file come in one go."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path

from transect.base.diagnostic import Diagnostics
from transect.base.record import record
from transect.core.frontend.declare import World
from transect.core.frontend.flow import check_flow
from transect.core.frontend.helpers import Helpers
from transect.core.frontend.members import is_helper, marked
from transect.core.frontend.modules import AliasDef, ClassDef, ConstantDef, FunctionDef, Module, Modules
from transect.core.frontend.plain import is_constant
from transect.core.frontend.policies import PolicyClass
from transect.core.frontend.secrets import check_secrets
from transect.core.frontend.source import check_compiles, decoded, parse, read, too_long_chain
from transect.core.frontend.steps import check_steps
from transect.core.ir import Program

__all__ = ["Compiled", "compile_data", "compile_file", "compile_text"]


@record
class Compiled:
    """What a file says: its policies (none when there are errors), and what is wrong with it."""

    programs: tuple[Program, ...]
    diagnostics: Diagnostics
    sources: dict[str, str] = field(default_factory=dict)  # path -> text, of every file read

    def program(self, name: str) -> Program:
        return next(p for p in self.programs if p.name == name)


def compile_file(path: Path | str, *, policy: type[PolicyClass] = PolicyClass) -> Compiled:
    """The policies of a file; `policy` reads each class (one that keeps contracts, for proofs)."""
    diagnostics = Diagnostics()
    text = read(Path(path), diagnostics)
    if text is None:
        return Compiled((), diagnostics)
    return _compile(text, str(path), diagnostics, policy)


def compile_data(data: bytes, path: str) -> Compiled:
    """The policies in the bytes of a stream; of a longer stream, the first `MAX_BYTES` + 1 bytes are given."""
    diagnostics = Diagnostics()
    text = decoded(data, path, diagnostics)
    return Compiled((), diagnostics) if text is None else _compile(text, path, diagnostics, PolicyClass)


def compile_text(text: str, path: str = "<text>") -> Compiled:
    """The policies of a text; sibling files are looked for beside `path`."""
    return _compile(text, path, Diagnostics(), PolicyClass)


def _compile(text: str, path: str, diagnostics: Diagnostics, policy: type[PolicyClass]) -> Compiled:
    source = parse(text, path, diagnostics)
    if source is None:
        return Compiled((), diagnostics, {path: text})
    modules = Modules(diagnostics)
    module = modules.add(source)
    programs = _programs_in(World(diagnostics, modules), module, policy)
    own = [m.source for m in modules.loaded.values() if m is not None and not m.library]
    if not diagnostics.failed:
        for each in own:
            check_compiles(each, diagnostics)
    sources = {each.path: each.text for each in own}
    return Compiled(() if diagnostics.failed else programs, diagnostics, sources)


def _programs_in(world: World, module: Module, kind: type[PolicyClass]) -> tuple[Program, ...]:
    """The programs.  None, and a diagnostic, if a chain of definitions that refer to each other is deeper than Python's
    stack.  Each by itself is no deeper than `source.MAX_DEPTH`.
    """
    try:
        return _programs(world, module, kind)
    except RecursionError:
        too_long_chain(module.source, world.diagnostics)
        return ()


def _programs(world: World, module: Module, kind: type[PolicyClass]) -> tuple[Program, ...]:
    own = [b for b in module.names.values() if isinstance(b, ClassDef) and b.module is module]
    programs: list[Program] = []
    for cls in own:
        if world.kind(cls) == "policy":
            policy = kind(world, cls)
            program = policy.build()
            if program is not None:
                check_flow(program, world.diagnostics)
                check_secrets(program, world.diagnostics)
                check_steps(program, world.diagnostics)
                policy.warn_of_races(program)
                policy.warn_of_failing_open(program)
                programs.append(program)
        else:
            world.class_type(cls, module.source.header(cls.node)) if world.kind(cls) != "old" else None
    if not any(world.kind(cls) == "policy" for cls in own):
        Helpers(world).check_all_of(module)  # a policy checks those of its file by itself
    _unmarked_functions(world, module)
    _check_constants(world, module)
    return tuple(programs)


def _unmarked_functions(world: World, module: Module) -> None:
    """Report each function of the module that is not marked as a helper."""
    for binding in module.names.values():
        if isinstance(binding, FunctionDef) and binding.module is module and not is_helper(binding):
            world.diagnostics.error(
                "P033",
                f"`{binding.node.name}` is not marked as a helper",
                module.source.header(binding.node),
                label="not part of a policy",
                help=marked(binding),
            )


def _check_constants(world: World, module: Module) -> None:
    """Check constants and aliases, used or not."""
    for binding in module.names.values():
        match binding:
            case AliasDef(value=value) if binding.module is module:
                world.result_type(module, value)
            case ConstantDef() if binding.module is module:
                is_constant(world, binding)
            case _:
                pass
