"""The Machine: N Tiles and one Shared, connected."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .apic.faults import fault_layout
from .config import straps_layout
from .core.microword import MicroWord
from .core.seen import status_layout
from .events import trace_layout
from .probe import probe_layout
from .schedule import schedule_layout
from .share import Bundle, share
from .shared import Shared
from .tile import Tile

__all__ = ["LoadPort", "Machine"]


class LoadPort(Bundle):
    """Writes one word of a memory per clock, seen from the loader; only while ``run`` is low.

    ``microcode`` high: the microcode store of every core at once; low: the arena. ``data`` is as wide as the wider of the two.
    """

    def __init__(self, config):
        super().__init__({
            "valid": Out(1),
            "microcode": Out(1),
            "address": Out(max(config.address_bits, config.pc_bits)),
            "data": Out(max(config.xlen, MicroWord.as_shape().size)),
        })


class Machine(wiring.Component):
    """A multi-core machine whose structure is its MachineConfig and nothing else.

    Contents come through ``load`` (or, in simulation, by writing the rows of ``tiles[i].microcode`` and of the banks of
    ``shared.arena``: the same words). After the last load, ``run`` must stay low for one more clock. The first clock with
    ``run`` high is clock 0 of the run. To run again, reset the clock domain and load again.

    Parameters
    ----------
    config : MachineConfig
    tile : makes the repeated unit from the config. (The fast engines put a black box with the ports of a Tile in its place.)

    Members
    -------
    straps : held during a run.
    run : the machine runs. When low, it finishes what it has begun and stops.
    load : LoadPort.
    schedule : what is held; sampled at the clock edge. 0 is the plain machine.
    fault : a fault on the path of interrupt messages; held during a run. 0: none.
    status : per core, what a schedule may look at.
    quiet : nothing more will happen: every core sleeps, no interrupt will wake it, and nothing is in progress.
    trapped : a core has trapped.
    lost : by core: a fault has lost the message of it whose end is in the trace of this clock.
    trace : all records of this clock.  probe : for waves.  Nothing in the machine reads them.
    """

    def __init__(self, config, *, tile=Tile):
        self.config = config
        self.tiles = [tile(config) for _ in range(config.n_cores)]
        self.shared = Shared(config)
        super().__init__({
            "straps": In(straps_layout),
            "run": In(1),
            "load": In(LoadPort(config)),
            "schedule": In(schedule_layout(config)),
            "fault": In(fault_layout),
            "status": Out(data.ArrayLayout(status_layout, config.n_cores)),
            "quiet": Out(1),
            "trapped": Out(1),
            "lost": Out(config.n_cores),
            "trace": Out(trace_layout(config)),
            "probe": Out(probe_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.shared = shared = self.shared
        load, schedule = self.load, self.schedule
        share(shared, run=self.run, straps=self.straps, fault=self.fault, lost=self.lost)
        load_valid, load_address = Signal(), Signal(self.config.pc_bits)
        load_word = Signal(MicroWord.as_shape().size)
        m.d.comb += [
            load_valid.eq(load.valid & load.microcode),
            load_address.eq(load.address),
            load_word.eq(load.data),
            shared.hold_message.eq(schedule.hold_message),
            shared.load_valid.eq(load.valid & ~load.microcode),
            shared.load_address.eq(load.address),
            shared.load_data.eq(load.data),
        ]
        for number, tile in enumerate(self.tiles):
            m.submodules[f"tile{number}"] = tile
            # A register, so that no tool folds the number into the Tile: all Tiles stay the same circuit.
            core_id = Signal(8, init=number, reset_less=True, name=f"core_id{number}")
            m.d.sync += core_id.eq(core_id)
            share(tile, now=shared.now, run=self.run, straps=self.straps, load_valid=load_valid,
                  load_address=load_address, load_word=load_word, memory=shared.memory[number], out=shared.sources[number],
                  delivery=shared.targets[number])
            m.d.comb += [
                tile.core_id.eq(core_id),
                tile.stall.eq(schedule.stall[number]),
                tile.hold_interrupt.eq(schedule.hold_interrupt[number]),
                tile.hold_drain.eq(schedule.hold_drain[number]),
                tile.reorder_drain.eq(schedule.reorder_drain[number]),
            ]
        tiles = self.tiles
        m.d.comb += [
            self.status.eq(Cat(tile.status for tile in tiles)),
            self.quiet.eq(Cat(tile.quiet for tile in tiles).all()),
            self.trapped.eq(Cat(tile.status.trapped for tile in tiles).any()),
            self.trace.eq(Cat(
                *(tile.core_record for tile in tiles), *(tile.apic_record for tile in tiles), shared.messages, shared.commits,
            )),
            self.probe.eq(Cat(tile.probe for tile in tiles)),
        ]
        return m
