"""The calls of a run from its VCD alone."""

from rtl.config import MachineConfig
from sim.calls import CallTracker
from sim.waves.reader import read_records

__all__ = ["calls_of_vcd"]


def calls_of_vcd(path):
    """The calls in the waves at ``path``, as ``sim.calls.Call.to_json`` gives them. Raises InputError."""
    meta, records = read_records(path)
    routines, functions = meta["routines"], meta["functions"]
    tracker = CallTracker(MachineConfig(**meta["config"]), lambda pc: routines[pc] if pc < len(routines) else None,
                          lambda func: functions.get(str(func), f"{func:#x}"))
    for record in records:
        tracker.add(record)
    return [call.to_json() for call in tracker.calls]
