"""The description of an engine, and how to make it."""

from dataclasses import dataclass

from rtl.check.room import Room
from rtl.config import MachineConfig
from sim.errors import MissingToolError

__all__ = ["EngineSpec"]


@dataclass(frozen=True)
class EngineSpec:
    """The description of an engine. Picklable, which an engine is not.

    config : of the machine.
    name : of ``sim.engines.ENGINES``; or None: the compiled engine, or PySim without a C compiler.
    room : of its Monitor.
    many : for many runs without records: the compiled engine then uses lanes, unless there are too many cores.
    """

    config: MachineConfig
    name: str | None = None
    room: Room = Room()
    many: bool = False

    def make(self, tell=lambda line: None):
        """The Engine. Raises MissingToolError if it is not available here. tell : called with the reason if it is not the best."""
        if self.name == "verilator":
            from .verilator import VerilatorEngine
            return VerilatorEngine(self.config, room=self.room)
        if self.name != "pysim":
            try:
                return self._compiled()
            except MissingToolError as error:
                if self.name is not None:
                    raise
                tell(f"running on PySim, which is slow: {error}")
        from .pysim import PySimEngine
        return PySimEngine(self.config, room=self.room)

    def _compiled(self):
        from .compiled import CompiledEngine
        from .compiled.many import LaneEngine

        kind = LaneEngine if self.many and self.config.n_cores <= LaneEngine.SENSIBLE else CompiledEngine
        return kind(self.config, room=self.room)
