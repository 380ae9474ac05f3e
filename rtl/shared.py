"""Shared: everything that a Machine has only once: the arena, the fabric and the time."""

from amaranth.hdl import Cat, Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .apic.crossbar import Crossbar
from .apic.faults import FaultInjector, fault_layout
from .apic.message import DeliveryMode, DeliveryPort, MessagePort
from .config import straps_layout
from .events import commit_record_layout, message_record_layout
from .memory.arena import Arena
from .memory.port import MemoryPort
from .share import share

__all__ = ["FABRICS", "Shared"]

#: The components that ``MachineConfig.fabric`` names.
FABRICS = {"crossbar": Crossbar}


class Shared(wiring.Component):
    """Arena, fabric and the clock counter.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    arena : Arena; its banks hold the MemoryData.

    Members
    -------
    run, straps, fault, hold_message : see Machine.
    load_valid, load_address, load_data : load port of the arena, for use while ``run`` is low.
    memory, sources, targets : one of each per Tile, seen from here: requests and messages come in, deliveries go out.
    now : clocks since ``run`` rose, modulo 2**xlen.
    messages, commits : records.  lost : see Machine.
    """

    def __init__(self, config):
        self._config = config
        self.arena = Arena(config)
        n = config.n_cores
        super().__init__({
            "run": In(1),
            "straps": In(straps_layout),
            "fault": In(fault_layout),
            "hold_message": In(n),
            "load_valid": In(1),
            "load_address": In(config.address_bits),
            "load_data": In(config.xlen),
            "memory": In(MemoryPort(config)).array(n),
            "sources": In(MessagePort()).array(n),
            "targets": Out(DeliveryPort()).array(n),
            "now": Out(config.xlen),
            "messages": Out(data.ArrayLayout(message_record_layout(config), n)),
            "lost": Out(n),
            "commits": Out(data.ArrayLayout(commit_record_layout(config), config.n_banks)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.arena = arena = self.arena
        m.submodules.fabric = fabric = FABRICS[self._config.fabric](self._config)
        share(arena, ports=self.memory, records=self.commits,
              load_valid=self.load_valid, load_address=self.load_address, load_data=self.load_data)
        share(fabric, hold=self.hold_message, sources=self.sources, targets=self.targets, records=self.messages, lost=self.lost)
        m.submodules.injector = injector = FaultInjector(self._config.n_cores)
        share(injector, run=self.run, plan=self.fault, faults=fabric.faults, injected=fabric.injected)
        interrupts = [source.valid & (source.message.mode == DeliveryMode.FIXED) for source in self.sources]
        m.d.comb += [
            injector.valid.eq(Cat(interrupts)),
            injector.done.eq(Cat(interrupt & source.done for interrupt, source in zip(interrupts, self.sources, strict=True))),
        ]
        m.d.comb += [arena.latency.eq(self.straps.arena_latency), fabric.latency.eq(self.straps.fabric_latency)]
        with m.If(self.run):
            m.d.sync += self.now.eq(self.now + 1)
        return m
