"""What the Monitor's flags say: their names, their clocks, and the oracles that explain them."""

from rtl.monitor import flags_layout

__all__ = ["ORACLE_OF_FLAG", "clocks_of_flags"]

#: Flag -> name of the oracle that sees the same. ``overflow`` has none: it says that the other flags prove nothing.
ORACLE_OF_FLAG = {
    "early_return": "O1",
    "not_once": "O2",
    "lost": "O3",
    "refs": "O5",
    "unlock": "O6",
    "owner": "O11",
    "mask": "O12",
    "lock": "LOCK",
    "warn": "WARN",
    "trap": "TRAP",
    "stuck": "WATCHDOG",
}


def clocks_of_flags(raw):
    """{name: clock of the first hit} of the flags that are set, in their order, from the raw ``flags`` port."""
    if not raw:
        return {}
    flags = flags_layout.from_bits(raw)
    return {name: flags[name].clock for name, _ in flags_layout if flags[name].hit}
