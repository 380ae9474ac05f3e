"""What a crosscall VCD shows besides the records: where each core was, the violations, and which cores were online at first."""

from pathlib import Path
from typing import NamedTuple

from ..begun import SEEN, Seen
from .writer import CLOCK_NS

__all__ = ["Shown", "read_shown"]

_VIOLATION = "calls.violation_text"
#: Of the shared sources.
_ONLINE = "arena.cpu_online_mask.bits"


class Shown(NamedTuple):
    """seen : (clock, core, Seen) at each change.  violations : (clock, text as in the waves).
    online : mask of the cores that are online in the first clock of the waves; 0 if the protocol does not say."""

    seen: list[tuple[int, int, Seen]]
    violations: list[tuple[int, str]]
    online: int


def read_shown(path, config):
    """Read it from a file that ``read_records`` has read and thus checked."""
    lines = iter(Path(path).read_text(encoding="ascii").splitlines())
    wanted = {f"core{core}.{name}": (core, place) for core in range(config.n_cores) for place, name in enumerate(SEEN)}
    where, told, mask = _identifiers(lines, wanted)
    now = [[0] * len(SEEN) for _ in range(config.n_cores)]
    shown, changed, clock, online = Shown([], [], 0), set(), None, None
    for line in lines:
        kind = line[0]
        if kind == "#":
            shown.seen.extend((clock, core, tuple(now[core])) for core in sorted(changed))
            changed.clear()
            clock = int(line[1:]) // CLOCK_NS
            continue
        value, _, identifier = line[1:].rpartition(" ") if kind in "bs" else (kind, "", line[1:])
        if identifier in where:
            core, place = where[identifier]
            now[core][place] = int(value, 2)
            changed.add(core)
        elif identifier == mask and online is None:
            online = int(value, 2)
        elif identifier == told and kind == "s" and value:
            shown.violations.append((clock, value.encode().decode("unicode_escape")))
    return shown._replace(online=online or 0)


def _identifiers(lines, wanted):
    """(identifier -> its use, the identifier of the violation, that of the online mask) from the declarations."""
    scope, where, told, mask = [], {}, None, None
    for line in lines:
        words = line.split()
        match words[:1]:
            case ["$scope"]:
                scope.append(words[2])
            case ["$upscope"]:
                scope.pop()
            case ["$var"]:
                name = ".".join([*scope, words[4]])
                if name in wanted:
                    where[words[3]] = wanted[name]
                elif name == _VIOLATION:
                    told = words[3]
                elif name == _ONLINE:
                    mask = words[3]
            case ["$enddefinitions"]:
                break
    return where, told, mask
