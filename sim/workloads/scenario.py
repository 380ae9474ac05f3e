"""A workload as a scenario file, which every command that takes a scenario accepts."""

import json

from amaranth.utils import ceil_log2

from rtl.config import MachineConfig
from sim.errors import InputError
from sim.files import make_folder, write_whole
from sim.runs.prepare import prepare
from sim.spelling import closest

__all__ = ["chosen", "prepare_workload", "scenario_text"]

#: The room in a microcode store; with a workload's additions not every protocol fits otherwise.
_MICROCODE = 2048


def chosen(option, names, known):
    """The requested names, in the order of ``known``; none requested: all. Raises InputError."""
    for name in names:
        if name not in known:
            raise InputError(f'{option} {name}: there is no such thing{closest(name, known)} (there are: {", ".join(known)})')
    return tuple(name for name in known if not names or name in names)


def scenario_text(comment, title, n_cores, programs, *, tables=(), arena_depth=None):
    """The TOML text.

    comment : its first lines.  programs : core -> its commands, each of them key -> value.
    tables : name -> keys, of other tables.  arena_depth : None: the machine's default."""
    machine = {"microcode_depth": _MICROCODE} | ({"arena_depth": arena_depth} if arena_depth else {})
    lines = [*(f"# {line}" for line in comment), f"title = {json.dumps(title)}", f"cores = {n_cores}", f"min_cores = {n_cores}"]
    for name, keys in {"machine": machine, **dict(tables)}.items():
        lines += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    for core, commands in programs.items():
        lines += ["", "[[program]]", f"cores = [{core}]", "commands = [", *map(_line, commands), "]"]
    return "\n".join(lines) + "\n"


def _line(command):
    return f"    {{ {', '.join(f'{key} = {json.dumps(value)}' for key, value in command.items())} }},"


def prepare_workload(path, text, **options):
    """Write the file, with an arena that has room for all commands, and prepare it.

    text : called with the depth of the arena; returns the TOML text.  options : as ``prepare`` takes them.
    Raises InputError; then nothing is written.
    """
    if any(item.partition("=")[0].strip() == "arena_depth" for item in options.get("assignments", ())):
        depth = None
    else:
        depth = _depth(path, text, options)
    content = text(depth)
    prepared = prepare(str(path), text=content, **options)
    make_folder(path.parent)
    write_whole(path, content)
    return prepared


def _depth(path, text, options):
    """The smallest arena with enough room."""
    prepared = prepare(str(path), text=text(MachineConfig.MAX_ARENA), **options)
    needed = max(prepared.contents.arena) + 1 + prepared.image.structs["command"].size      # the last list's end marker
    default = MachineConfig().with_cores(prepared.run.config.n_cores).arena_depth
    return max(default, 1 << ceil_log2(needed))
