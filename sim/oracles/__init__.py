"""Oracles: what must hold of every run, one small class per property."""

from .calls import EarlyReturn, FunctionAndInfo, LostCall, LostInterrupt, OnceEach
from .counts import Countdown, InterruptMask
from .findings import SpinLocks, Traps, Warnings
from .flags import NestedOwner, StackReuse, UnlockOfUnlocked
from .jury import Jury
from .lists import BoundedWalk, WellFormedList
from .oracle import Oracle, Violation
from .places import Places

__all__ = ["ORACLES", "Jury", "Oracle", "Violation", "make_oracles"]

#: Every oracle, in the order in which they are shown.
ORACLES = (EarlyReturn, OnceEach, LostCall, WellFormedList, Countdown, UnlockOfUnlocked, StackReuse, FunctionAndInfo,
           LostInterrupt, BoundedWalk, NestedOwner, InterruptMask, SpinLocks, Warnings, Traps)


def make_oracles(config, image, *, arena=None, max_visits=None):
    """One of each for a run, in the order of ORACLES.

    Parameters
    ----------
    config : the MachineConfig.  image : the assembled protocol.
    arena : what the scenario adds to the image's arena: address -> word.
    max_visits : the bound of O10; None for its default.
    """
    places = Places(image, arena)
    return [oracle(config, places, bound=max_visits) if oracle is BoundedWalk else oracle(config, places) for oracle in ORACLES]
