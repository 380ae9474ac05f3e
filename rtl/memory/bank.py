"""One bank of the arena: a RAM with an atomic unit."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory, MemoryData
from amaranth.lib.wiring import In, Out

from ..arbiter import RoundRobin
from ..events import commit_record_layout
from .port import MemoryOp, memory_request_layout

__all__ = ["Bank"]


class Bank(wiring.Component):
    """Carries out one operation per clock, each atomically.

    Two stages. In the first, one of the requests that are ``valid`` is picked in turn and its row is read. In the second,
    one clock later, the old value is there, the new one is computed and written at the end of the clock, and ``done`` is
    high. So a request without competition is done in the clock after the one in which it became ``valid``. The RAM's read
    port is transparent for this write, so an operation sees the result of the one directly before it. (A register beside the
    RAM would do the same. But if a block RAM does not read the old value in a collision, synthesis must first imitate that.)

    ``done`` is a register; ``old`` and ``record`` are functions of state and memory outputs.

    Parameters
    ----------
    config : MachineConfig.

    Attributes
    ----------
    data : MemoryData, the rows of this bank. May be set by a simulation while the machine does not run.

    Members
    -------
    valid : which ports have a request for this bank; held until ``done``.
    requests : their requests; the low ``bank_bits`` of an address are ignored.
    done : one-hot: the port whose operation is visible from the end of this clock.
    old : the value before it; valid with ``done``.
    record : the operation of this clock.
    load_valid, load_row, load_data : writes a row at the end of the clock; only while no request is ``valid`` or in progress.
    """

    def __init__(self, config):
        self._config = config
        self.data = MemoryData(shape=config.xlen, depth=config.arena_depth // config.n_banks, init=[])
        super().__init__({
            "valid": In(config.n_cores),
            "requests": In(data.ArrayLayout(memory_request_layout(config), config.n_cores)),
            "done": Out(config.n_cores),
            "old": Out(config.xlen),
            "record": Out(commit_record_layout(config)),
            "load_valid": In(1),
            "load_row": In(config.address_bits - config.bank_bits),
            "load_data": In(config.xlen),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.memory = memory = Memory(self.data)
        write = memory.write_port()
        read = memory.read_port(transparent_for=(write,))

        # First stage.
        m.submodules.arbiter = arbiter = RoundRobin(config.n_cores)
        picked = Signal(memory_request_layout(config))
        m.d.comb += [
            arbiter.requests.eq(self.valid & ~self.done),
            picked.eq(self.requests[arbiter.index]),
            read.addr.eq(picked.address[config.bank_bits:]),
            read.en.eq(arbiter.requests.any()),
        ]

        # Second stage.
        request = Signal.like(picked)
        core = Signal(config.core_bits)
        row = request.address[config.bank_bits:]
        new = Signal(config.xlen)
        m.d.sync += self.done.eq(arbiter.grant)
        with m.If(arbiter.requests.any()):
            m.d.sync += [
                request.eq(picked),
                core.eq(arbiter.index),
            ]
        m.d.comb += self.old.eq(read.data)
        with m.Switch(request.op):
            with m.Case(MemoryOp.WRITE, MemoryOp.SWAP):
                m.d.comb += new.eq(request.data)
            with m.Case(MemoryOp.CAS):
                m.d.comb += new.eq(Mux(self.old == request.compare, request.data, self.old))
            with m.Case(MemoryOp.ADD):
                m.d.comb += new.eq(self.old + request.data)
            with m.Case(MemoryOp.AND):
                m.d.comb += new.eq(self.old & request.data)
            with m.Case(MemoryOp.OR):
                m.d.comb += new.eq(self.old | request.data)
            with m.Default():         # READ
                m.d.comb += new.eq(self.old)
        m.d.comb += [
            write.en.eq(self.done.any() | self.load_valid),
            write.addr.eq(Mux(self.load_valid, self.load_row, row)),
            write.data.eq(Mux(self.load_valid, self.load_data, new)),
            self.record.valid.eq(self.done.any()),
            self.record.op.eq(request.op),
            self.record.core.eq(core),
            self.record.address.eq(request.address),
        ]
        # Before its first access a RAM outputs nothing; in a Verilog simulator that is X.
        with m.If(self.done.any()):
            m.d.comb += [self.record.old.eq(self.old), self.record.new.eq(new)]
        return m
