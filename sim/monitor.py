"""What the Monitor's flags say: their names, their clocks, and the oracles that explain them."""

from rtl.monitor import flag_layout, flags_layout

__all__ = ["ORACLES_OF_FLAG", "OVERFLOW", "clocks_of_flags"]

#: The flag that is none: there is more to remember than there is room for, so no flag of a later clock proves anything.
OVERFLOW = "overflow"

#: Flag -> names of the oracles that see the same: one of them. ``overflow`` has none.
ORACLES_OF_FLAG = {
    "early_return": ("O1",),
    "not_once": ("O2", "O8"),
    "lost": ("O3",),
    "refs": ("O5",),
    "unlock": ("O6",),
    "owner": ("O11",),
    "mask": ("O12",),
    "lock": ("LOCK",),
    "warn": ("WARN",),
    "trap": ("TRAP",),
    "stuck": ("WATCHDOG",),
}


def clocks_of_flags(raw):
    """{name: clock of the first hit} of the flags that are set, in their order, from the raw ``flags`` port."""
    return {name: raw >> clock & _CLOCK for name, hit, clock in _PLACES if raw >> hit & 1}


#: (flag, where its bit ``hit`` is in the raw port, where its clock is). A hunt looks at thousands of these in a second.
_PLACES = [(name, *(field.offset + field.shape[part].offset for part in ("hit", "clock"))) for name, field in flags_layout]
_CLOCK = (1 << flag_layout["clock"].width) - 1
