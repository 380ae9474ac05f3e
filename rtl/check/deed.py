"""A deed: what a core has done to a csd or a spin lock, as its Context tells it to all Ledgers and Keyrings."""

from amaranth.lib import data, enum

__all__ = ["LEVEL_BITS", "MAX_FRAMES", "Deed", "deed_layout"]

#: How many activities of a core can be under way at a time, one in the middle of the other.
MAX_FRAMES = 6
#: Bits of a level: in how many activities a core is, this one counted.
LEVEL_BITS = MAX_FRAMES.bit_length()


class Deed(enum.Enum, shape=3):
    """What can be done."""

    #: LOCK of a csd is taken.
    LOCK = 0
    #: ... and given back.
    UNLOCK = 1
    #: A csd becomes reachable for ``targets``.
    QUEUE = 2
    #: A handler takes what was queued, for its core.
    TAKE = 3
    #: The count of targets still to come is stored.
    COUNT = 4
    #: A csd is unlinked.
    DELETE = 5
    #: A spin lock is taken.
    HOLD = 6
    #: ... and given back.
    RELEASE = 7


def deed_layout(config):
    return data.StructLayout({
        "valid": 1,
        "age": 2,                     # it waited so many clocks until it was heard
        "deed": Deed,
        "address": config.xlen,       # of the csd or the spin lock
        "level": LEVEL_BITS,          # at which it was done
        "calling": 1,                 # in a call
        "targets": config.n_cores,    # of that call
        "zero": 1,                    # COUNT: the count is 0
    })
