"""All oracles of a run together."""

from .oracle import key_of

__all__ = ["Jury"]


class Jury:
    """Passes each record only to the oracles that want to see it: most records interest none. The same for measures, which only
    provide facts."""

    def __init__(self, oracles, measures=()):
        self.oracles = tuple(oracles)
        self.measures = tuple(measures)
        self._handlers = {}
        for oracle in (*self.oracles, *self.measures):
            for key, handler in oracle.handlers.items():
                self._handlers.setdefault(key, []).append(handler)

    def add(self, record, tracker):
        for handler in self._handlers.get(key_of(record), ()):
            handler(record, tracker)

    def finish(self, outcome, tracker):
        for oracle in self.oracles:
            oracle.finish(outcome, tracker)

    @property
    def violations(self):
        """Those of all oracles, by clock; within a clock in the order of the oracles."""
        return sorted((item for oracle in self.oracles for item in oracle.violations), key=lambda item: item.clock)

    def facts(self):
        """What the oracles measured, as plain data."""
        return {name: value for oracle in (*self.oracles, *self.measures) for name, value in oracle.facts().items()}
