"""The supported instructions of x86: how each is written, and what its flags mean to later instructions."""

import re
from enum import Enum

__all__ = ["FORMS", "JUMPS", "LOCKABLE", "MOVES", "SETS", "Condition", "Need", "Part", "mnemonic", "register"]


class Condition(Enum):
    """What a jump tests in the result that the last flag-setting instruction left."""

    ZERO = "zero"
    NONZERO = "nonzero"
    NEGATIVE = "negative"
    NONNEGATIVE = "nonnegative"
    NONPOSITIVE = "nonpositive"
    POSITIVE = "positive"


class Need(Enum):
    """When the result alone decides a test that x86 makes on several flags."""

    #: Always: it tests ZF or SF.
    NOTHING = 0
    #: If nothing overflows: it compares signed numbers.
    NO_OVERFLOW = 1
    #: If also no number is negative: it tests CF.
    NO_SIGN = 2


#: Suffix of jump, CMOV and SET -> what it tests, and when the result decides that.
_CONDITIONS = {
    "E Z": (Condition.ZERO, Need.NOTHING), "NE NZ": (Condition.NONZERO, Need.NOTHING),
    "S": (Condition.NEGATIVE, Need.NOTHING), "NS": (Condition.NONNEGATIVE, Need.NOTHING),
    "L LT NGE": (Condition.NEGATIVE, Need.NO_OVERFLOW), "GE NL": (Condition.NONNEGATIVE, Need.NO_OVERFLOW),
    "LE NG": (Condition.NONPOSITIVE, Need.NO_OVERFLOW), "G GT NLE": (Condition.POSITIVE, Need.NO_OVERFLOW),
    "B C NAE": (Condition.NEGATIVE, Need.NO_SIGN), "AE NB NC": (Condition.NONNEGATIVE, Need.NO_SIGN),
    "BE NA": (Condition.NONPOSITIVE, Need.NO_SIGN), "A NBE": (Condition.POSITIVE, Need.NO_SIGN),
}
_BY_SUFFIX = {suffix: found for names, found in _CONDITIONS.items() for suffix in names.split()}
#: Mnemonic -> (Condition, Need).
JUMPS = {f"J{suffix}": found for suffix, found in _BY_SUFFIX.items()}
MOVES = {f"CMOV{suffix}": found for suffix, found in _BY_SUFFIX.items() if suffix not in ("LT", "GT")}
SETS = {f"SET{suffix}": found for suffix, found in _BY_SUFFIX.items() if suffix not in ("LT", "GT")}

#: Operands of each instruction, destination first: R register, M memory, C constant, L label, P core.
_TWO = ("RC", "RR", "RM", "MC", "MR")
FORMS = {
    **dict.fromkeys(("MOV", "ADD", "SUB", "AND", "OR", "XOR", "CMP", "TEST"), _TWO),
    **dict.fromkeys(("INC", "DEC", "NEG", "NOT"), ("R", "M")),
    **dict.fromkeys(("XCHG", "UXCH"), ("RR", "RM", "MR")), "XADD": ("MR",), "CMPXCHG": ("MR",), "LEA": ("RM",),
    "JMP": ("L",), **dict.fromkeys(JUMPS, ("L",)), **dict.fromkeys(MOVES, ("RR", "RM")), **dict.fromkeys(SETS, ("R", "M")),
    **dict.fromkeys(("MFENCE", "LFENCE", "SFENCE", "NOP", "PAUSE", "ENDBR64", "RET", "CLI", "STI", "HLT"), ("",)),
    "IPI": ("P",), "TPR": ("C",),
}
#: What may follow LOCK, if it writes memory.
LOCKABLE = ("ADD", "SUB", "AND", "OR", "XOR", "INC", "DEC", "XADD", "CMPXCHG", "XCHG")
#: Instructions without a size, or with a fixed size of one byte.
_WITHOUT_SIZE = {*SETS, *(name for name, forms in FORMS.items() if set("".join(forms)) <= set("LPC"))}
_SIZES = {"B": 8, "W": 16, "L": 32, "Q": 64}

_REGISTER = re.compile(r"""
    (?P<legacy> (?P<wide> [ER])? (?: [ABCD]X | [SD]I | BP | SP ))
  | (?P<low> [ABCD] | SI | DI | BP | SP)L | (?P<high> [ABCD])H
  | R (?P<number> 8 | 9 | 1[0-5]) (?P<part> [DWB])?""", re.IGNORECASE | re.VERBOSE)
_BITS = {"R": 64, "E": 32, None: 16}
_PARTS = {None: 64, "D": 32, "W": 16, "B": 8}


class Part(Exception):
    """A register that is not the low part of another: AH."""


def mnemonic(name):
    """(instruction, bits that its suffix names or None), or None if it is unknown."""
    name = name.upper()
    if name in FORMS:
        return name, 8 if name in SETS else None
    if name[:-1] in FORMS and name[-1:] in _SIZES and name[:-1] not in _WITHOUT_SIZE:
        return name[:-1], _SIZES[name[-1]]
    return None


def register(text):
    """(name of the whole register without its size, bits): ``EAX`` -> ("AX", 32); None for anything else. Raises Part."""
    found = _REGISTER.fullmatch(text)
    if found is None:
        return None
    if found["number"]:
        return f"R{found['number']}", _PARTS[found["part"] and found["part"].upper()]
    if found["high"]:
        raise Part
    if found["low"]:
        low = found["low"].upper()
        return (low if len(low) == 2 else f"{low}X"), 8
    return found["legacy"].upper()[-2:], _BITS[found["wide"] and found["wide"].upper()]
