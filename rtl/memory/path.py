"""The memory path of a core: the store buffer, and the path of all other operations to the core's arena port."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .port import Fence, MemoryModel, MemoryOp, MemoryPort, memory_request_layout

__all__ = ["MemoryPath"]


class MemoryPath(wiring.Component):
    """Handles one operation of the core at a time, and buffers stores that are executed but not yet visible.

    The core raises ``issue`` for one clock, with ``request``, and never while ``busy``. Then:

    - a WRITE under TSO or PSO enters the buffer at the end of the clock. It may be issued only while ``room`` is high, and is
      executed in the clock of ``issue`` (``posts``): there is no ``done``. One per clock.
    - a READ of an address in the buffer raises ``done`` in the next clock, with the data of the youngest store to that address.
    - any other READ, and a WRITE under SC, goes to the port, after any drain in progress; ``done`` and ``old`` come from the
      port. Without contention, ``done`` comes two clocks after ``issue``.
    - an atomic operation goes to the port when the buffer is empty: in the clock after ``issue``, or after the last drain.

    ``withdraw`` in the clock after ``issue`` cancels the operation: it never reaches the port, and it leaves the buffer. Nothing is
    issued in that clock, and ``done`` has no meaning.

    A drain starts at the end of a clock in which the buffer is not empty and the port is free or completes its operation,
    unless an operation goes to the port then. So a core that only loads does not hide its stores from the others: one drains
    after each load. A drain sends one store to the port; the store leaves the buffer when it is done. Under TSO it is the oldest;
    under PSO, if ``reorder`` is high, the youngest with no older store to the same address, else the oldest.
    ``hold`` and ``reorder`` are sampled at the clock edge at which a drain would start.

    Throughput: one store per clock into the buffer, and one drain every three clocks.

    Parameters
    ----------
    config : MachineConfig; the buffer holds ``store_buffer_depth`` stores. With 0, every model is SC. Without ``pso``, PSO is TSO.

    Members
    -------
    memory_model : the strap.  hold, reorder : from the schedule.
    issue, request, withdraw, busy, done, old : as above. ``request`` is sampled in the clock of ``issue``, except ``compare``:
        that is passed to the port, and must be stable from the next clock until ``done``.
    posts : a WRITE issued now is executed at once.  room : the buffer has room for it.
    fence, ordered : a fence of this kind may complete now; valid while not ``busy``. FULL: when the buffer is empty. WRITE: under
        PSO the same, else always, because stores drain in order. READ: always, because loads are executed in order.
    drained : all issued operations are visible to all cores.
    stores : number of stores in the buffer.
    port : MemoryPort; ``valid`` and ``request`` are functions of state and of ``withdraw``, itself a function of state.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "memory_model": In(MemoryModel),
            "hold": In(1),
            "reorder": In(1),
            "issue": In(1),
            "request": In(memory_request_layout(config)),
            "withdraw": In(1),
            "busy": Out(1),
            "done": Out(1),
            "old": Out(config.xlen),
            "posts": Out(1),
            "room": Out(1),
            "fence": In(Fence),
            "ordered": Out(1),
            "drained": Out(1),
            "stores": Out(range(config.store_buffer_depth + 1)),
            "port": Out(MemoryPort(config)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        depth = config.store_buffer_depth
        slot = data.StructLayout({"address": config.address_bits, "data": config.xlen})
        kept = {"op": MemoryOp, **slot.members}

        operation = Signal(data.StructLayout(kept))         # the one that the core waits for
        at_port = Signal()                                   # it is at the port
        atomic = Signal()
        takes_over = [operation[name].eq(self.request[name]) for name in kept]
        m.d.comb += [
            atomic.eq((operation.op != MemoryOp.READ) & (operation.op != MemoryOp.WRITE)),
            *(self.port.request[name].eq(operation[name]) for name in kept),
            self.port.request.compare.eq(self.request.compare),
        ]

        if not depth:
            m.d.comb += [
                self.port.valid.eq(self.busy & ~self.withdraw),
                self.done.eq(self.port.done),
                self.old.eq(self.port.old),
                self.drained.eq(~self.busy),
                self.ordered.eq(1),
            ]
            with m.If(self.issue):
                m.d.sync += [self.busy.eq(1), *takes_over]
            with m.Elif(self.port.done | self.withdraw):
                m.d.sync += self.busy.eq(0)
            return m

        buffer = Signal(data.ArrayLayout(slot, depth))       # oldest first
        valid = [self.stores > number for number in range(depth)]
        draining = Signal()                                  # a store is at the port
        index = Signal(range(depth))                         # its index
        # Whether a READ is forwarded is known late in the clock of ``issue``, so every READ is sent to the port. In the next clock,
        # a forwarded READ is masked there, and a store that could have drained instead takes its place.
        forwarded, went, began, instead = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [at_port.eq(went & ~forwarded), draining.eq(began | instead & forwarded)]
        m.d.sync += [went.eq(at_port), began.eq(draining), instead.eq(0)]

        # The youngest store in the buffer to the issued address.
        found, known = Signal(), Signal(config.xlen)
        for number in range(depth):
            with m.If(valid[number] & (buffer[number].address == self.request.address)):
                m.d.comb += [found.eq(1), known.eq(buffer[number].data)]

        store = self.request.op == MemoryOp.WRITE
        push, reorders = Signal(), Signal()
        m.d.comb += [
            self.posts.eq(self.memory_model != MemoryModel.SC),
            reorders.eq((self.memory_model == MemoryModel.PSO) if config.pso else 0),
            self.room.eq(self.stores != depth),
            push.eq(self.issue & store & self.posts),
            self.drained.eq((self.stores == 0) & ~self.busy),
            self.ordered.eq(self.drained | (self.fence == Fence.READ)
                            | ((self.fence == Fence.WRITE) & ~reorders)),
        ]

        # The operation that the core waits for.
        value = Signal(config.xlen)
        m.d.comb += [self.done.eq(forwarded), self.old.eq(Mux(forwarded, value, self.port.old))]
        with m.If(forwarded):
            m.d.sync += [forwarded.eq(0), self.busy.eq(0)]
        free, empties = Signal(), Signal()                   # the port, the buffer: after a drain that ends now
        takes = Signal()                                     # the operation goes to the port
        m.d.comb += [free.eq(~draining | self.port.done), empties.eq(self.stores == draining)]
        with m.If(self.issue & ~push):
            m.d.sync += [self.busy.eq(1), *takes_over, forwarded.eq(found & (self.request.op == MemoryOp.READ)), value.eq(known)]
            m.d.comb += takes.eq(free & ((self.request.op == MemoryOp.READ) | store | empties))
        with m.Elif(self.busy & ~at_port & ~forwarded & ~self.withdraw):
            m.d.comb += takes.eq(free & (~atomic | empties))
        with m.If(at_port & self.port.done):
            m.d.comb += self.done.eq(1)
        with m.If(at_port & self.port.done | self.withdraw):
            m.d.sync += [went.eq(0), self.busy.eq(0)]
        with m.If(takes):
            m.d.sync += went.eq(1)

        # Drains. Without PSO, always the oldest store.
        chosen = Signal(range(depth))
        with m.If(reorders & self.reorder):
            for number in range(1, depth):
                same = Cat(buffer[older].address == buffer[number].address for older in range(number))
                with m.If(valid[number] & ~same.any()):
                    m.d.comb += chosen.eq(number)
        with m.If(draining & self.port.done):
            m.d.sync += began.eq(0)
        with m.Elif(~draining & (self.stores != 0) & ~self.hold & (~at_port | self.port.done) & ~self.withdraw):
            m.d.sync += [began.eq(~takes), instead.eq(takes), index.eq(chosen)]

        # The buffer: a drained store leaves, younger ones move up, and a new one is appended. The youngest may be withdrawn.
        leaves = Signal()
        last = Signal.like(self.stores)
        m.d.comb += [leaves.eq(draining & self.port.done), last.eq(self.stores - leaves)]
        m.d.sync += self.stores.eq(last + push - (self.withdraw & ~self.busy))
        for number in range(depth):
            with m.If(leaves & (index <= number)):
                m.d.sync += buffer[number].eq(buffer[number + 1] if number + 1 < depth else 0)
            with m.If(push & (last == number)):
                m.d.sync += [buffer[number].address.eq(self.request.address), buffer[number].data.eq(self.request.data)]

        m.d.comb += self.port.valid.eq(at_port & ~self.withdraw | draining)
        with m.If(draining):
            m.d.comb += [
                self.port.request.op.eq(MemoryOp.WRITE),
                self.port.request.address.eq(buffer[index].address),
                self.port.request.data.eq(buffer[index].data),
            ]
        return m
