"""The Tile: core, memory path and local APIC. The unit that a Machine repeats; all Tiles are the same circuit."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .apic.local_apic import LocalApic
from .apic.message import DeliveryPort, MessagePort
from .config import straps_layout
from .core.core import Core
from .core.microword import MicroWord
from .core.seen import status_layout
from .events import apic_record_layout, core_record_layout
from .memory.path import MemoryPath
from .memory.port import MemoryPort
from .probe import tile_probe_layout
from .share import share

__all__ = ["Tile"]


class Tile(wiring.Component):
    """One core with its own memory path and local APIC.

    Its outputs to the shared part (``memory.valid``, ``memory.request``, ``out.valid``, ``out.message``) are functions of state.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    microcode : MemoryData of the core's microcode store.

    Members
    -------
    core_id : number of the core and id of its local APIC; constant during a run.
    now : clocks since the start of the run.
    run, straps : the same as in Machine.
    stall, hold_interrupt, hold_drain, reorder_drain : this core's bits of the schedule.
    load_valid, load_address, load_word : microcode load port.
    memory, out, delivery : to and from the shared part.
    status, quiet : ``quiet`` is high when this Tile does nothing until a message arrives.
    core_record, apic_record, probe : for observation only.
    """

    def __init__(self, config):
        self._config = config
        self.core = Core(config)
        self.microcode = self.core.microcode
        super().__init__({
            "core_id": In(8),
            "now": In(config.xlen),
            "run": In(1),
            "straps": In(straps_layout),
            "stall": In(1),
            "hold_interrupt": In(1),
            "hold_drain": In(1),
            "reorder_drain": In(1),
            "load_valid": In(1),
            "load_address": In(config.pc_bits),
            "load_word": In(MicroWord.as_shape().size),
            "memory": Out(MemoryPort(config)),
            "out": Out(MessagePort()),
            "delivery": In(DeliveryPort()),
            "status": Out(status_layout),
            "quiet": Out(1),
            "core_record": Out(core_record_layout(config)),
            "apic_record": Out(apic_record_layout(config)),
            "probe": Out(tile_probe_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.core = core = self.core
        m.submodules.memory_path = path = MemoryPath(config)
        m.submodules.apic = apic = LocalApic(config)

        share(core, core_id=self.core_id, now=self.now, run=self.run, stall=self.stall, hold_interrupt=self.hold_interrupt,
              straps=self.straps, load_valid=self.load_valid, load_address=self.load_address, load_word=self.load_word,
              record=self.core_record, status=self.status)
        share(path, hold=self.hold_drain, reorder=self.reorder_drain, port=self.memory,
              issue=core.issue, request=core.request, withdraw=core.withdraw, done=core.memory_done, old=core.memory_old,
              posts=core.posts, room=core.room, fence=core.fence, ordered=core.ordered, drained=core.drained)
        share(apic, core_id=self.core_id, registers=core.registers, out=self.out, delivery=self.delivery, accept=core.accept,
              interrupt=core.interrupt, vector=core.pending_vector, init=core.init, startup=core.startup,
              record=self.apic_record)
        m.d.comb += [
            path.memory_model.eq(self.straps.memory_model),
            apic.x2apic.eq(self.straps.x2apic),
            self.quiet.eq(core.asleep & path.drained & ~apic.out.valid & ~apic.init & ~apic.startup
                          & ~(core.interruptible & apic.due)),

            self.probe.core.eq(core.probe),
            self.probe.stores.eq(path.stores),
            self.probe.memory_valid.eq(self.memory.valid),
            self.probe.memory_done.eq(self.memory.done),
            self.probe.memory.eq(self.memory.request),
            self.probe.irr.eq(apic.irr),
            self.probe.isr.eq(apic.isr),
            self.probe.tpr.eq(apic.tpr),
            self.probe.interrupt.eq(apic.interrupt),
            self.probe.vector.eq(apic.vector),
            self.probe.icr_busy.eq(apic.out.valid),
            self.probe.icr.eq(apic.out.message),
        ]
        return m
