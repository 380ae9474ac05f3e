"""The option ``--fault``: a fault of one interrupt."""

import re

from rtl.apic.faults import FaultKind
from sim.errors import InputError
from sim.spelling import closest
from sim.texts import integer

from .plan import most

__all__ = ["fault"]

#: Kind -> what follows it.
_FORMS = {FaultKind.DROP: "CORE:NUMBER", FaultKind.TWICE: "CORE:NUMBER", FaultKind.LATE: "CORE:NUMBER:CLOCKS"}
_FIELDS = ("fault_source", "fault_number", "fault_delay")


def fault(text, n_cores):
    """The fields of a Plan for ``drop:0:2``: what happens to the interrupt that core 0 sends after two others. Raises
    InputError."""
    kinds = {kind.name.lower(): kind for kind in _FORMS}
    name, _, rest = text.partition(":")
    if name not in kinds:
        raise InputError(f"--fault {text}: there is no such fault{closest(name, kinds)} (there are: "
                         f"{', '.join(f'{kind.name.lower()}:{form}' for kind, form in _FORMS.items())})")
    form = _FORMS[kinds[name]]
    if not re.fullmatch(":".join(["[0-9]+"] * len(form.split(":"))), rest):
        raise InputError(f"--fault {text}: must be written as {name}:{form}")
    values = dict(zip(_FIELDS, map(integer, rest.split(":")), strict=False))
    if values["fault_source"] >= n_cores:
        raise InputError(f"--fault {text}: there is no core {values['fault_source']}; there are {n_cores}")
    for field, value in values.items():
        if value > most(field):
            raise InputError(f"--fault {text}: {value} is too large; at most {most(field)}")
    return {"fault": kinds[name], **values}
