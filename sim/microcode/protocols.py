"""The available protocols: files in ``sources/`` with a ``.title``, or the user's own file."""

import re
from functools import cache
from pathlib import Path

from sim.errors import InputError
from sim.microcode.assembler import assemble
from sim.spelling import closest
from sim.texts import read_text

__all__ = ["barriers_and_locks", "find_protocol", "shipped_protocols"]

_SOURCES = Path(__file__).parent / "sources"


def shipped_protocols():
    """Name -> title of the protocols that come with crosscall. Common parts have no title, so they are not included."""
    titles = {}
    for path in sorted(_SOURCES.glob("*.uasm")):
        found = re.search(r'^\s*\.title\s+"([^"]*)"', path.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            titles[path.stem] = found[1]
    return titles


def find_protocol(name):
    """The path of a shipped protocol, or of the user's own ``.uasm`` file. Raises InputError."""
    if str(name).endswith(".uasm"):
        read_text(name)
        return Path(name)
    known = shipped_protocols()
    if name not in known:
        raise InputError(f'there is no protocol "{name}"{closest(name, known)} '
                         f"(shipped: {', '.join(known)}; your own: a path that ends in .uasm)")
    return _SOURCES / f"{name}.uasm"


def barriers_and_locks(name):
    """What can be knocked out of a protocol, in any mode of the local APICs, in the order of the program."""
    path = find_protocol(name)
    return list(_shipped_names(path) if path.parent == _SOURCES else _names(path))


def _names(path):
    image = assemble(path, n_cores=2, xlen=16, defines={"X2APIC": 1})
    return sorted(image.names, key=lambda name: min(image.names[name]))


#: A user's own file may change, also while a process runs.
_shipped_names = cache(_names)
