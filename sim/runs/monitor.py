"""The Monitor from outside: its input, the meaning of its flags, and the oracles that explain them."""

from dataclasses import dataclass, field
from math import inf

from rtl.check.csds import scope_layout
from rtl.monitor import FLAGS, flag_layout, flags_layout

__all__ = ["ALL_SAID", "ORACLES_OF_FLAG", "OVERFLOW", "PARTIAL", "Profile", "clocks_of_flags", "proven"]

#: Not a finding: there is more to remember than there is room for, so no flag of a later clock proves anything.
OVERFLOW = "overflow"

#: Flag -> names of the oracles that check the same; one of them is violated. ``overflow`` has none.
ORACLES_OF_FLAG = {
    "early_return": ("O1",),
    "not_once": ("O2", "O8"),
    "lost": ("O3",),
    "list": ("O4",),
    "refs": ("O5",),
    "unlock": ("O6",),
    "touch": ("O7",),
    "interrupt": ("O9",),
    "walk": ("O10",),
    "owner": ("O11",),
    "mask": ("O12",),
    "where": ("WHERE",),
    "result": ("RESULT",),
    "rest": ("REST",),
    "lock": ("LOCK",),
    "warn": ("WARN",),
    "trap": ("TRAP",),
    "stuck": ("WATCHDOG",),
}

#: Flags whose oracle checks words of the memory, which the Monitor knows only from events: it sees less.
PARTIAL = frozenset({"list", "refs", "unlock", "touch", "owner", "rest"})


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a Monitor knows about a protocol and its scenario (``rtl.monitor.profile_layout``). By default the protocol reports
    everything, except the layout of its csds.

    judged : flags.  visits : entries that a walk may visit.  online : cores report when they come online.
    scope : what is reported of csds (``rtl.check.csds.scope_layout``).
    places : field of ``rtl.check.returned.places_layout`` -> value.
    """

    judged: frozenset[str] = frozenset(FLAGS)
    visits: int = 0xFFFF
    online: bool = True
    scope: frozenset[str] = frozenset(scope_layout.members) - {"takes"}
    places: dict[str, int] = field(default_factory=dict)

    def as_const(self):
        """The value of the ``profile`` port, as ``data.Layout.const`` takes it."""
        return {"judged": dict.fromkeys(self.judged, 1), "visits": self.visits, "online": int(self.online),
                "scope": dict.fromkeys(self.scope, 1), "places": self.places}


ALL_SAID = Profile()


def clocks_of_flags(raw):
    """{name: clock of the first hit} of the set flags, in order, from the raw ``flags`` port."""
    return {name: raw >> clock & _CLOCK for name, hit, clock in _PLACES if raw >> hit & 1}


#: (flag, bit of its ``hit`` in the raw port, bit of its clock). A hunt decodes thousands of these per second.
_PLACES = [(name, *(field.offset + field.shape[part].offset for part in ("hit", "clock"))) for name, field in flags_layout]
_CLOCK = (1 << flag_layout["clock"].width) - 1


def proven(flags):
    """The flags, with their clocks, that prove something: those set after an overflow do not."""
    full = flags.get(OVERFLOW, inf)
    return {flag: clock for flag, clock in flags.items() if flag != OVERFLOW and clock < full}
