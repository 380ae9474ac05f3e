"""The contract of the memory path, to be proved: a core and a memory that do anything which the contract allows, and for each
sentence one assertion."""

from amaranth.hdl import Array, Assert, Assume, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.memory.path import MemoryPath
from rtl.memory.port import Fence, MemoryModel, MemoryOp, memory_request_layout

__all__ = ["ADDRESS_BITS", "PathContract", "Small"]

ADDRESS_BITS = 2


class Small:
    """What a MemoryPath asks its config for: fewer bits than any machine has."""

    address_bits = ADDRESS_BITS
    xlen = 1
    pso = 1

    def __init__(self, store_buffer_depth):
        self.store_buffer_depth = store_buffer_depth


class PathContract(wiring.Component):
    """A MemoryPath, and all that may be true around it: what is an input, a solver chooses in every clock.

    Parameters
    ----------
    depth : of the store buffer.  memory_model : the strap.  component : the MemoryPath, or a mutant of it.
    prompt : the memory answers as soon as it may, and nothing is held; then there is a bound on how long a store waits.

    Attributes
    ----------
    sentences : the contract, once elaborated.

    Members
    -------
    broken : which of the sentences are not true in this clock.
    """

    def __init__(self, depth, memory_model, *, component=MemoryPath, prompt=False):
        self._config = Small(depth)
        self._memory_model = memory_model
        self._component = component
        self._prompt = prompt
        super().__init__({
            "issue": In(1),
            "request": In(memory_request_layout(self._config)),
            "hold": In(1),
            "reorder": In(1),
            "fence": In(Fence),
            "answers": In(1),         # the memory does, if it may
            "mark": In(1),            # the store that is issued is the one to be watched
            "regrets": In(1),         # what is issued will be withdrawn
            "broken": Out(16),
        })

    def elaborate(self, platform):
        m = Module()
        config, depth = self._config, self._config.store_buffer_depth
        self.sentences = []
        m.submodules.path = path = self._component(config)
        port, request = path.port, self.request
        posts = bool(depth) and self._memory_model is not MemoryModel.SC

        def is_atomic(op):
            return (op != MemoryOp.READ) & (op != MemoryOp.WRITE)

        # --- what is around it ------------------------------------------------------------------------------------------------

        # The core issues nothing while the path is busy or an operation is withdrawn, and no store without room. What it compares
        # with stays.
        withdraw = Signal()
        m.d.sync += withdraw.eq(self.issue & self.regrets)
        operation = Signal.like(request)
        store = request.op == MemoryOp.WRITE
        m.d.comb += [
            Assume(request.op.as_value() <= MemoryOp.OR.value),
            Assume(self.fence.as_value() <= Fence.READ.value),
            Assume(~(self.issue & (path.busy | withdraw))),
            Assume(~(self.issue & store & path.posts & ~path.room)),
            path.memory_model.eq(self._memory_model),
            path.hold.eq(self.hold),
            path.reorder.eq(self.reorder),
            path.issue.eq(self.issue),
            path.withdraw.eq(withdraw),
            *(path.request[name].eq(request[name]) for name in ("op", "address", "data")),
            path.request.compare.eq(Mux(path.busy, operation.compare, request.compare)),
            path.fence.eq(self.fence),
        ]
        # The memory answers a clock after ``valid`` rose or later. Nobody else writes it.
        memory = Array(Signal(config.xlen, name=f"word{address}") for address in range(1 << ADDRESS_BITS))
        stood = Signal()
        m.d.comb += [port.done.eq(port.valid & stood & self.answers), port.old.eq(memory[port.request.address])]
        m.d.sync += stood.eq(port.valid & ~port.done)
        if self._prompt:
            m.d.comb += [Assume(self.answers), Assume(~self.hold), Assume(~self.regrets)]

        def outcome(request, old):
            """The word after an operation."""
            new = Signal.like(old, name="new")
            m.d.comb += new.eq(old)
            with m.Switch(request.op):
                with m.Case(MemoryOp.WRITE, MemoryOp.SWAP):
                    m.d.comb += new.eq(request.data)
                with m.Case(MemoryOp.CAS):
                    m.d.comb += new.eq(Mux(old == request.compare, request.data, old))
                with m.Case(MemoryOp.ADD):
                    m.d.comb += new.eq(old + request.data)
                with m.Case(MemoryOp.AND):
                    m.d.comb += new.eq(old & request.data)
                with m.Case(MemoryOp.OR):
                    m.d.comb += new.eq(old | request.data)
            return new

        with m.If(port.done):
            m.d.sync += memory[port.request.address].eq(outcome(port.request, port.old))

        # --- what the contract speaks of --------------------------------------------------------------------------------------

        # What the core waits for, and memory as the core must see it: each operation has its effect when it is executed.
        waits = Signal()
        own = Array(Signal(config.xlen, name=f"own{address}") for address in range(1 << ADDRESS_BITS))
        buffered = self.issue & store if posts else 0
        posted = buffered & ~self.regrets if posts else 0
        with m.If(withdraw):
            m.d.sync += waits.eq(0)
        with m.Elif(path.done):
            m.d.sync += [waits.eq(0), own[operation.address].eq(outcome(operation, own[operation.address]))]
        with m.If(posted):
            m.d.sync += own[request.address].eq(request.data)
        with m.Elif(self.issue & ~Cat(buffered).any()):
            m.d.sync += [waits.eq(1), operation.eq(request)]

        # How many stores are executed and not visible.
        drains = port.done & (port.request.op == MemoryOp.WRITE) if posts else 0
        hidden = Signal(range(depth + 2))
        m.d.sync += hidden.eq(hidden + posted - drains)

        # One store, whichever: what it is, and how many stores that are to be visible first are not. Under PSO these are those to
        # its own address.
        watched, ahead, mine = Signal(), Signal(range(depth + 2)), Signal.like(request)
        to_own = Signal(range(depth + 2))                    # hidden stores to the address that is issued now
        counts = [Signal(range(depth + 2), name=f"to{address}") for address in range(1 << ADDRESS_BITS)]
        for address, count in enumerate(counts):
            m.d.sync += count.eq(count + (posted & (request.address == address)) - (drains & (port.request.address == address)))
        in_turn = drains
        if self._memory_model is MemoryModel.PSO:
            m.d.comb += to_own.eq(Array(counts)[request.address] - (drains & (port.request.address == request.address)))
            in_turn = drains & (port.request.address == mine.address)
        else:
            m.d.comb += to_own.eq(hidden - drains)
        with m.If(posted & self.mark & ~watched):
            m.d.sync += [watched.eq(1), ahead.eq(to_own), mine.eq(request)]
        with m.Elif(watched & in_turn):
            m.d.sync += [ahead.eq(ahead - 1), watched.eq(ahead != 0)]

        stands, stood_request, held = Signal(), Signal.like(request), Signal(init=1)
        m.d.sync += [stands.eq(port.valid & ~port.done), stood_request.eq(port.request), held.eq(self.hold)]

        # --- the contract -----------------------------------------------------------------------------------------------------

        def holds(sentence, condition):
            m.d.comb += [self.broken[len(self.sentences)].eq(~condition), Assert(condition)]
            self.sentences.append(sentence)

        same = Cat(port.request[field] == stood_request[field] for field in ("op", "address", "data")).all()
        same &= (port.request.op != MemoryOp.CAS) | (port.request.compare == stood_request.compare)
        holds("The port's valid and request do not change until done.", ~stands | (port.valid & same))
        holds("The path is busy from the clock after issue until done.", path.busy == waits)
        holds("Nothing is done that was not issued.", ~path.done | waits)
        holds("What is done gives what the core's own operations, in their order, left in the word.",
              ~path.done | (path.old == own[operation.address]))
        holds("No store becomes visible that was not executed.", ~Cat(drains).any() | (hidden != 0))
        holds("The store that is watched becomes visible in its turn, with its address and its data.",
              ~(watched & (ahead == 0) & in_turn)
              | (port.request.address == mine.address) & (port.request.data == mine.data))
        holds("A store that is watched is among those that are hidden.", ~watched | (hidden > ahead))
        holds("The path knows how many stores are hidden.", withdraw | (path.stores == hidden))
        holds("There is room unless the buffer is full.", withdraw | ~path.posts | (path.room == (hidden != depth)))
        holds("Stores are posted in TSO and PSO.", path.posts == posts)
        holds("An atomic operation stands at the port only when no store is hidden.",
              ~(port.valid & is_atomic(port.request.op)) | (hidden == 0))
        holds("Everything is visible when the path says so.", withdraw | (path.drained == ((hidden == 0) & ~waits)))
        full = (self.fence == Fence.FULL) | (self.fence == Fence.WRITE) & (self._memory_model is MemoryModel.PSO)
        holds("A fence may complete when what it waits for is visible, and no later.",
              waits | withdraw | (path.ordered == (~full | (hidden == 0))))
        if posts:
            holds("No drain starts that is held.", ~(port.valid & ~stood & (port.request.op == MemoryOp.WRITE) & held))
        if self._prompt:
            waited = Signal(range(64))
            m.d.sync += waited.eq(Mux((hidden == 0) | drains, 0, waited + 1))
            # A load that comes first takes 2 clocks at the port, the drain 3 with its start.
            holds("Some store becomes visible within 5 clocks.", waited < 6)
        return m
