"""The Machine: N Tiles and one Shared, joined."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .config import straps_layout
from .core.microword import MicroWord
from .events import trace_layout
from .probe import probe_layout
from .schedule import schedule_layout, status_layout
from .share import share
from .shared import Shared
from .tile import Tile

__all__ = ["LoadPort", "Machine"]


class LoadPort(wiring.Signature):
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
    tile : what makes the repeated unit from the config. (The fast engines put a black box with the ports of a Tile in its place.)

    Members
    -------
    straps : held during a run.
    run : the machine runs. Low, it stands still after what it has begun.
    load : LoadPort.
    schedule : who is held back; sampled at the clock edge. 0 is the plain machine.
    status : per core, what a schedule may look at.
    quiet : nothing will happen any more: every core sleeps, no interrupt will wake it, nothing is under way.
    trapped : a core has trapped.
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
            "status": Out(data.ArrayLayout(status_layout, config.n_cores)),
            "quiet": Out(1),
            "trapped": Out(1),
            "trace": Out(trace_layout(config)),
            "probe": Out(probe_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.shared = shared = self.shared
        load, schedule = self.load, self.schedule
        load_valid, load_shared = Signal(), Signal()
        m.d.comb += [load_valid.eq(load.valid & load.microcode), load_shared.eq(load.valid & ~load.microcode)]
        share(shared, run=self.run, straps=self.straps, hold_message=schedule.hold_message, load_valid=load_shared,
              load_address=load.address[:self.config.address_bits], load_data=load.data[:self.config.xlen])
        for number, tile in enumerate(self.tiles):
            m.submodules[f"tile{number}"] = tile
            # A register, so that no tool folds the number into the Tile: all Tiles stay the same circuit.
            core_id = Signal(8, init=number, reset_less=True, name=f"core_id{number}")
            m.d.sync += core_id.eq(core_id)
            # Of its own as well: a Tile that picks its bits from the whole schedule is another circuit than its neighbour.
            held = Signal(4, name=f"held{number}")
            m.d.comb += held.eq(Cat(schedule.stall[number], schedule.hold_interrupt[number], schedule.hold_drain[number],
                                    schedule.reorder_drain[number]))
            share(tile, core_id=core_id, now=shared.now, run=self.run, straps=self.straps,
                  stall=held[0], hold_interrupt=held[1], hold_drain=held[2], reorder_drain=held[3],
                  load_valid=load_valid, load_address=load.address[:self.config.pc_bits],
                  load_word=load.data[:MicroWord.as_shape().size],
                  memory=shared.memory[number], out=shared.sources[number], delivery=shared.targets[number])
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
