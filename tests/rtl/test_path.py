"""The memory path against its model, clock by clock; and what must be true of it whatever the model says."""

import random
from collections import Counter

import pytest
from amaranth.sim import Simulator

from rtl.config import MachineConfig
from rtl.memory.path import MemoryPath
from rtl.memory.port import Fence, MemoryModel, MemoryOp

from .path_model import MUTANTS, PathModel, mutant
from .test_bank import outcome

ATOMICS = [op for op in MemoryOp if op not in (MemoryOp.READ, MemoryOp.WRITE)]
DEPTHS = (0, 1, 2, 4, 8)
#: No waiting and much of it; few loads and many.
MANNERS = [
    {"holds": 0, "busyness": 1, "slowness": 0, "loads": .3, "withdraws": .1},
    {"holds": .5, "busyness": .9, "slowness": .3, "loads": .5, "withdraws": .2},
    {"holds": .2, "busyness": .4, "slowness": .6, "loads": .1, "withdraws": .3},
    {"holds": 0, "busyness": 1, "slowness": .1, "loads": .9, "withdraws": .2},
]


class Drive:
    """A testbench: random operations on a path, and a memory that answers when it likes. Everything is checked in every clock.

    holds : how often the drain is held.  busyness : how often an operation is issued when one may be.
    slowness : how often the memory lets a clock pass.  loads : how many of the operations are loads.
    withdraws : how many of the operations are withdrawn.
    """

    def __init__(self, dut, config, memory_model, seed, *, clocks, holds, busyness, slowness, loads, withdraws,
                 strap=None):
        self.dut, self.config, self.memory_model = dut, config, memory_model
        self.strap = memory_model if strap is None else strap
        self.rng = random.Random(seed)
        self.clocks, self.holds, self.busyness, self.slowness, self.loads = clocks, holds, busyness, slowness, loads
        self.withdraws = withdraws
        self.model = PathModel(config.store_buffer_depth, memory_model)
        self.memory = Counter()       # as the memory has it
        self.own = Counter()          # as the core must see it, for no other one stores
        self.executed = []            # (address, data) of every WRITE issued, and of every one that is visible
        self.visible = []
        self.waits_for = None
        self.seen = Counter()

    def draw(self):
        """An operation, or None."""
        rng, model = self.rng, self.model
        if model.busy or rng.random() >= self.busyness:
            return None
        op = rng.choices([MemoryOp.READ, MemoryOp.WRITE, rng.choice(ATOMICS)], [self.loads, .9 - self.loads * .9, .1])[0]
        if op is MemoryOp.WRITE and model.posts and len(model.buffer) == model.depth:
            self.seen["full"] += 1
            return None
        return {"op": op, "address": rng.randrange(16, 19), "data": rng.getrandbits(self.config.xlen),
                "compare": self.own[rng.randrange(16, 19)]}

    async def __call__(self, ctx):
        dut, model, rng = self.dut, self.model, self.rng
        ctx.set(dut.memory_model, self.strap)
        stood = None                                         # what stood at the port in the clock before, and was not answered
        clock, withdraw = 0, False
        while clock < self.clocks or not model.drained:
            assert clock < self.clocks + 300, f"clock {clock}: it does not drain"
            goes_on = clock < self.clocks
            request = self.draw() if goes_on and not withdraw else None
            next_withdraw = request is not None and rng.random() < self.withdraws
            hold = goes_on and rng.random() < self.holds
            reorder, fence = rng.randrange(2), rng.choice(list(Fence))
            at_port = None if withdraw and model.at_port == "operation" else model.port_request
            # A memory answers in the clock after the one in which valid rose, or later.
            answers = at_port is not None and stood is model.at_port and rng.random() >= self.slowness
            old = self.memory[at_port[1]] if answers else rng.getrandbits(self.config.xlen)
            # What is not issued says nothing, but for what the operation under way compares with.
            beside = {"op": rng.choice(list(MemoryOp)), "address": rng.randrange(16, 19), "data": rng.getrandbits(self.config.xlen),
                      "compare": model.operation["compare"] if model.busy else rng.getrandbits(self.config.xlen)}
            ctx.set(dut.request, beside if request is None else request)
            for port, value in ((dut.issue, request is not None), (dut.withdraw, withdraw), (dut.hold, hold),
                                (dut.reorder, reorder), (dut.fence, fence), (dut.port.done, answers), (dut.port.old, old)):
                ctx.set(port, value)
            _, _, valid, stands, busy, done, given, posts, room, ordered, drained, stores = await ctx.tick().sample(
                dut.port.valid, dut.port.request, dut.busy, dut.done, dut.old, dut.posts, dut.room, dut.ordered, dut.drained,
                dut.stores)

            where = f"clock {clock}"
            assert valid == (at_port is not None), where
            if valid:
                op, address, data, compare = at_port
                assert (stands.op, stands.address) == (op, address), where
                assert op is MemoryOp.READ or stands.data == data, where
                assert op is not MemoryOp.CAS or stands.compare == compare, where
            expected = model.done(answers, old)
            assert busy == model.busy, where
            if withdraw:
                self.seen["withdrawn", "store" if not model.busy else "forwarded" if model.forwarded is not None
                          else "at the port" if model.at_port == "operation" else "waits"] += 1
                expected = None
            else:
                assert done == (expected is not None), where
            assert expected is None or given == expected, where
            assert (posts, stores, drained) == (model.posts, len(model.buffer), model.drained), where
            assert not model.posts or room == (len(model.buffer) < model.depth), where
            assert model.busy or ordered == model.ordered(fence), where

            if not model.busy and ordered and fence is not Fence.READ:
                self.seen[fence, model.posts] += 1
                if fence is Fence.FULL or self.memory_model is MemoryModel.PSO:
                    assert len(self.visible) == len(self.executed), where
            self.note(None if next_withdraw else request, answers, expected, where)
            stood = None if answers or at_port is None else model.at_port
            model.edge(request, hold, reorder, answers, withdraw)
            withdraw = next_withdraw
            clock += 1
        self.finish()

    def note(self, request, answers, expected, where):
        """What is true without the model: the core sees its own operations in their order."""
        model = self.model
        if expected is not None:
            op, address = model.operation["op"], model.operation["address"]
            self.seen[op] += 1
            self.seen["forwarded"] += model.forwarded is not None
            assert expected == self.own[address], where
            if op is not MemoryOp.WRITE or not model.posts:
                self.own[address] = outcome(self.config, model.operation, expected)
            assert op not in ATOMICS or len(self.visible) == len(self.executed), where
        if answers:
            op, address, data, compare = model.port_request
            self.memory[address] = outcome(self.config, {"op": op, "data": data, "compare": compare}, self.memory[address])
            if op is MemoryOp.WRITE:
                self.visible.append((address, data))
                self.seen["drains"] += model.posts
        if request is not None and request["op"] is MemoryOp.WRITE:
            self.executed.append((request["address"], request["data"]))
            if model.posts:
                self.own[request["address"]] = request["data"]

    def finish(self):
        """Nothing lost, nothing invented, and the order that the memory model promises."""
        assert Counter(self.visible) == Counter(self.executed)
        if self.memory_model is not MemoryModel.PSO:
            assert self.visible == self.executed
        for address in range(16, 19):
            assert [data for to, data in self.visible if to == address] == [data for to, data in self.executed if to == address]
        assert self.memory == self.own
        self.seen["reordered"] += self.visible != self.executed


def drive(component, depth, memory_model, *, clocks, manners=MANNERS, strap=None, **structure):
    """Every manner on one path; what was seen. A failure names the run. strap : another one than the model."""
    config = MachineConfig(n_cores=1, arena_depth=64, store_buffer_depth=depth, **structure)
    dut = component(config)
    seen = Counter()
    simulator = None
    running = []
    for number, manner in enumerate(manners):
        seed = f"{depth} {memory_model.name} {number}"
        running[:] = [Drive(dut, config, memory_model, seed, clocks=clocks, strap=strap, **manner)]
        if simulator is None:
            simulator = Simulator(dut)
            simulator.add_clock(1e-6)

            async def testbench(ctx):
                await running[0](ctx)

            simulator.add_testbench(testbench)
        else:
            simulator.reset()
        try:
            simulator.run()
        except AssertionError as error:
            error.add_note(f"depth {depth}, {memory_model.name}, seed {seed!r}, {manner}")
            raise
        seen += running[0].seen
    return seen


@pytest.mark.parametrize("depth", [pytest.param(depth, marks=pytest.mark.slow if depth == 4 else ()) for depth in DEPTHS])
@pytest.mark.parametrize("memory_model", MemoryModel, ids=lambda model: model.name.lower())
def test_random_operations(depth, memory_model):
    """In every clock what the model says; nothing lost, nothing invented, nothing out of order."""
    seen = drive(MemoryPath, depth, memory_model, clocks=350)
    posts = depth > 0 and memory_model is not MemoryModel.SC
    assert all(seen[op] for op in MemoryOp if not (posts and op is MemoryOp.WRITE))
    assert all(bool(seen[what]) == posts for what in ("full", "forwarded", "drains"))
    assert bool(seen["reordered"]) == (depth > 1 and memory_model is MemoryModel.PSO)
    assert seen[Fence.FULL, posts] and seen[Fence.WRITE, posts]
    withdrawn = {what for what in ("store", "forwarded", "at the port", "waits") if seen["withdrawn", what]}
    assert withdrawn == ({"store", "forwarded", "at the port", "waits"} if posts else {"at the port"})


@pytest.mark.parametrize("depth", [2, 4])
def test_pso_is_tso_where_it_is_left_out(depth):
    seen = drive(MemoryPath, depth, MemoryModel.TSO, clocks=350, strap=MemoryModel.PSO, pso=0)
    assert seen["drains"] and seen["forwarded"] and not seen["reordered"]


@pytest.mark.parametrize("pso", [0, 1])
@pytest.mark.parametrize("depth", DEPTHS)
def test_converts(depth, pso, convert):
    convert(MemoryPath(MachineConfig(n_cores=1, store_buffer_depth=depth, pso=pso)))


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_found(name):
    """A path with a fault in it does not pass what the right one passes."""
    component = mutant(name)
    memory_model = MemoryModel.PSO if "fence" in name else MemoryModel.TSO
    with pytest.raises(AssertionError, match="clock"):
        drive(component, 4, memory_model, clocks=350)


# --- clocks, one by one -----------------------------------------------------------------------------------------------


class Clocks:
    """A path and a memory without contention. Everything takes place in one testbench, clock by clock."""

    def __init__(self, memory_model, depth=4):
        config = MachineConfig(n_cores=1, arena_depth=64, store_buffer_depth=depth)
        self.dut = MemoryPath(config)
        self.memory_model = memory_model
        self.clock = 0
        self.commits = []             # (clock, op, address)

    def run(self, steps):
        async def testbench(ctx):
            ctx.set(self.dut.memory_model, self.memory_model)
            self._stood = False
            await steps(self, ctx)

        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(testbench)
        simulator.run()

    async def tick(self, ctx, op=None, address=0):
        """One clock, in which ``op`` is issued if it is given; gives (done, ordered, stores) of that clock."""
        dut = self.dut
        ctx.set(dut.issue, op is not None)
        if op is not None:
            ctx.set(dut.request, {"op": op, "address": address, "data": 1})
        valid, request = ctx.get(dut.port.valid), ctx.get(dut.port.request)
        answers = bool(valid and self._stood)
        ctx.set(dut.port.done, answers)
        if answers:
            self.commits.append((self.clock, request.op, request.address))
        self._stood = valid and not answers
        _, _, done, ordered, stores = await ctx.tick().sample(dut.done, dut.ordered, dut.stores)
        self.clock += 1
        return done, ordered, stores

    async def until_done(self, ctx, op, address):
        """Issues an operation and waits; gives the clocks from ``issue`` to ``done``."""
        begun = self.clock
        done, _, _ = await self.tick(ctx, op, address)
        while not done:
            done, _, _ = await self.tick(ctx)
        return self.clock - 1 - begun

    @property
    def stores(self):
        """When each store became visible, and its address."""
        return [(clock, address) for clock, op, address in self.commits if op is MemoryOp.WRITE]


@pytest.mark.parametrize("memory_model", MemoryModel, ids=lambda model: model.name.lower())
def test_an_operation_alone_takes_two_clocks(memory_model):
    async def steps(clocks, ctx):
        assert await clocks.until_done(ctx, MemoryOp.READ, 16) == 2
        assert await clocks.until_done(ctx, MemoryOp.ADD, 16) == 2
        if memory_model is MemoryModel.SC:
            assert await clocks.until_done(ctx, MemoryOp.WRITE, 16) == 2

    Clocks(memory_model).run(steps)


def test_own_store_is_read_in_the_next_clock():
    async def steps(clocks, ctx):
        await clocks.tick(ctx, MemoryOp.WRITE, 16)
        assert await clocks.until_done(ctx, MemoryOp.READ, 16) == 1

    Clocks(MemoryModel.TSO).run(steps)


def test_a_store_per_clock_and_a_drain_every_three():
    async def steps(clocks, ctx):
        for address in range(16, 20):
            await clocks.tick(ctx, MemoryOp.WRITE, address)
        while (await clocks.tick(ctx))[2]:
            pass
        first = 3                     # in the buffer, at the port, done
        assert clocks.stores == [(first + 3 * number, 16 + number) for number in range(4)]

    Clocks(MemoryModel.TSO).run(steps)


def test_a_core_that_only_loads_does_not_keep_its_stores_from_the_others():
    """As LDZ to itself does. The buffer once waited for a clock in which the core asks for nothing."""
    async def steps(clocks, ctx):
        for address in (16, 17):
            await clocks.tick(ctx, MemoryOp.WRITE, address)
        for _ in range(4):
            await clocks.until_done(ctx, MemoryOp.READ, 40)
        assert [address for _, address in clocks.stores] == [16, 17]

    Clocks(MemoryModel.TSO).run(steps)


@pytest.mark.parametrize("stores", [0, 1, 2, 4])
def test_full_fence_waits_three_clocks_a_store(stores):
    """The fence that follows the last store may complete 3 clocks a store later, less those in which the others were issued."""
    async def steps(clocks, ctx):
        for number in range(stores):
            await clocks.tick(ctx, MemoryOp.WRITE, 16 + number)
        begun = clocks.clock
        while not (await clocks.tick(ctx))[1]:
            pass
        assert clocks.clock - 1 - begun == (3 * stores - (stores - 1) if stores else 0)

    Clocks(MemoryModel.TSO).run(steps)
