"""The calls of a run from its VCD alone."""

from sim.calls import CallTracker
from sim.waves.reader import read_records, refusing

__all__ = ["calls_of_vcd"]


def calls_of_vcd(path):
    """The calls in the waves at ``path``, as ``sim.calls.Call.to_json`` gives them. Raises InputError."""
    config, metadata, records = read_records(path)
    with refusing(path, lambda: None):
        tracker = CallTracker.for_image(config, metadata.image)
        for record in records:
            tracker.add(record)
        return [call.to_json() for call in tracker.calls]
