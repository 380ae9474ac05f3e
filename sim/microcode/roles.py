"""What a protocol may declare about its parts: their roles for the code that judges and shows a run.

``.role ROLE THING`` names a struct, a field, a constant, an object or a routine of the protocol. Oracles, reports and the Monitor
find what they look at by role, so a protocol may name its parts freely, and may lack some: what needs a role that no part has is
not judged. docs/microcode.md has the table.
"""

from enum import Enum
from typing import NamedTuple

__all__ = ["CALLS", "ROLES", "Kind", "Part", "Role"]


class Kind(Enum):
    """What may have a role."""

    STRUCT = "a struct"
    #: struct.field: one word.
    WORD = "a word of a struct"
    #: struct.field: one word, or a struct.
    FIELD = "a field of a struct"
    CONSTANT = "a constant"
    OBJECT = "an object"
    ROUTINE = "a label"


class Part(NamedTuple):
    """A part with a role. name : of the struct, object, constant or label.  path : of the field in it, or "".
    value : of a constant."""

    name: str
    path: str = ""
    value: int | None = None


class Role(NamedTuple):
    """kind : of what may have it.  many : several may.  within : the role of the struct that must contain the field."""

    kind: Kind
    text: str
    many: bool = False
    within: str | None = None


ROLES = {
    "csd": Role(Kind.STRUCT, "what is queued for a call, alone or inside another struct"),
    "csd.func": Role(Kind.WORD, "function to call", within="csd"),
    "csd.info": Role(Kind.WORD, "argument of the function", within="csd"),
    "csd.flags": Role(Kind.WORD, "flags that say who owns the csd and whether the caller waits", within="csd"),
    "csd.next": Role(Kind.WORD, "the next csd in its list", within="csd"),
    "flag.lock": Role(Kind.CONSTANT, "bit of the flags: in use"),
    "flag.wait": Role(Kind.CONSTANT, "bit of the flags: the caller waits"),
    "flag.alloc": Role(Kind.CONSTANT, "bit of the flags: the csd is allocated, and whoever finishes with it frees it"),
    "flag.other": Role(Kind.CONSTANT, "other bits that flags may have", many=True),
    "targets.count": Role(Kind.WORD, "number of remaining targets; in a struct with a csd"),
    "targets.mask": Role(Kind.WORD, "mask of the remaining targets, or the address of the word that holds it"),
    "list": Role(Kind.FIELD, "head of a list: two words (empty if both hold its address), or one word (empty if 0)", many=True),
    "stack": Role(Kind.OBJECT, "the stack of each core in the arena, which other cores can access"),
    "stack.end": Role(Kind.OBJECT, "address of the first free word of a core's stack"),
    "masks": Role(Kind.OBJECT, "array of masks that are allocated one at a time"),
}
#: ``call.NAME``: the routine that the calls of that name in scenarios are calls of.
CALLS = "call."
