"""Oracles: what must hold of every run, one small class per property."""

from .calls import EarlyReturn, FunctionAndInfo, LostCall, LostInterrupt, OnceEach, ReturnValue, WhereRun
from .counts import Countdown, InterruptMask, SentInterrupts
from .discipline import GracePeriod, LockOrder
from .expectations import Expectations
from .findings import SpinLocks, Traps, Warnings
from .flags import GivenBack, NestedOwner, UnlockOfUnlocked
from .hotplug import Hotplug
from .jury import Jury
from .lists import BoundedWalk, WellFormedList
from .measures import MEASURES
from .oracle import Oracle, Verdict, Violation
from .places import Places
from .state import AtRest, DataWords

__all__ = ["MEASURES", "ORACLES", "Jury", "Oracle", "Verdict", "Violation", "make_measures", "make_oracles"]

#: Every oracle, in the order in which they are shown.
ORACLES = (EarlyReturn, OnceEach, LostCall, WellFormedList, Countdown, UnlockOfUnlocked, GivenBack, FunctionAndInfo,
           LostInterrupt, BoundedWalk, NestedOwner, InterruptMask, SentInterrupts, WhereRun, ReturnValue, Hotplug, DataWords,
           AtRest, SpinLocks, LockOrder, GracePeriod, Warnings, Traps, Expectations)


def make_oracles(config, image, *, arena=None, max_visits=None, scenario=None):
    """One of each for a run, in the order of ORACLES.

    Parameters
    ----------
    config : the MachineConfig.  image : the assembled protocol.
    arena : what the scenario adds to the image's arena: address -> word.
    max_visits : the bound of O10; None for its default.
    scenario : the Scenario, with its expectations; None: no expectations.
    """
    places = Places(image, arena)
    special = {BoundedWalk: {"bound": max_visits}, Expectations: {"scenario": scenario}}
    return [oracle(config, places, **special.get(oracle, {})) for oracle in ORACLES]


def make_measures(config, image):
    """One of each for a run."""
    places = Places(image)
    return [measure(config, places) for measure in MEASURES]
