"""The expected verdicts of a protocol: a file beside it, ``v4.expected.toml`` beside ``v4.uasm``."""

from dataclasses import dataclass

from rtl.config import MachineConfig
from rtl.memory.port import MemoryModel
from sim.spelling import closest

from .document import Document

__all__ = ["Expected", "expectations", "expected_of"]

_MODELS = [model.name.lower() for model in MemoryModel]


@dataclass(frozen=True)
class Expected:
    """scenario : its name.  memory, cores : the memory models and the numbers of cores for which it holds; None: all.
    violations : the oracles that are violated."""

    scenario: str
    memory: tuple[str, ...] | None
    cores: tuple[int, ...] | None
    violations: tuple[str, ...]

    def covers(self, scenario, memory, cores):
        return scenario == self.scenario and (self.memory is None or memory in self.memory) and (
            self.cores is None or cores in self.cores)


def expectations(protocol, oracles):
    """All entries of the file beside a protocol; none if there is no such file. oracles : their names. Raises InputError."""
    path = protocol.with_suffix(".expected.toml")
    if not path.is_file():
        return ()
    root = Document(path).root
    root.only(("expected",))
    return tuple(_read(table, oracles) for table in root.tables("expected"))


def expected_of(protocol, oracles, *, scenario, memory, cores):
    """The oracles that a run violates according to the protocol's file."""
    rows = expectations(protocol, oracles)
    return next((row.violations for row in rows if row.covers(scenario, memory, cores)), ())


def _read(table, oracles):
    table.only(("scenario", "memory", "cores", "violations"))
    scenario = table.get("scenario", str)
    if scenario is None:
        raise table.document.refusal(table.path, "has no scenario")
    numbers = range(1, MachineConfig.MAX_CORES + 1)
    return Expected(scenario, _list(table, "memory", str, _MODELS), _list(table, "cores", int, numbers),
                    tuple(sorted(_list(table, "violations", str, oracles) or ())))


def _list(table, key, kind, known):
    items = table.get(key, list)
    for item in items or ():
        if not isinstance(item, kind) or item not in known:
            near = closest(item, known) if isinstance(item, str) else ""
            raise table.refusal(key, f"has {item!r}, which is not known{near}")
    return None if items is None else tuple(items)
