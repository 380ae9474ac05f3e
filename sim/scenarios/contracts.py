"""What each call of a scenario owes."""

from rtl.events import Whom
from sim.obligations import Contract, judged_functions

__all__ = ["CONTRACTS", "contract_of"]

#: It is not known what it owes.
_UNKNOWN = Contract(False, Whom.NOBODY, False, False, False, False, 0)
_NOTHING = _UNKNOWN._replace(known=True)

#: Call -> its contract, without what the command adds: whether it waits, and its target.
CONTRACTS = {
    "single": _NOTHING._replace(whom=Whom.TARGET, fails=True),
    "csd": _NOTHING._replace(whom=Whom.TARGET),
    "many": _NOTHING._replace(whom=Whom.MASK),
    "all": _NOTHING._replace(whom=Whom.OTHERS, returns=True),
    "each": _NOTHING._replace(whom=Whom.OTHERS, here=True, returns=True),
    "hold_call_lock": _NOTHING._replace(here=True),
    "cpu_up": _NOTHING,
    "cpu_up_canceled": _NOTHING,
    "cpu_down": _NOTHING,
    "nothing": _NOTHING,
}
#: How a target beyond all cores is written.
_ABSENT = 255


def contract_of(command, core, image):
    """The Contract of a command of this core. It is unknown if the function does not emit RUN."""
    contract = CONTRACTS.get(command.like or command.call, _UNKNOWN)
    if not contract.known or image.symbols[f"func_{command.func}"] not in judged_functions(image):
        return _UNKNOWN
    contract = contract._replace(wait=command.wait, target=min(command.target, _ABSENT))
    if contract.fails and command.target == core:
        # smp_call_function_single() to the own core: func is called directly.
        return contract._replace(whom=Whom.NOBODY, here=True, fails=False, returns=True)
    return contract
