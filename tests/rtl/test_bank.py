import random

import pytest

from rtl.config import MachineConfig
from rtl.memory.bank import Bank
from rtl.memory.port import MemoryOp


def outcome(config, request, old):
    """The word after the operation."""
    data = request["data"]
    return {
        MemoryOp.READ: old,
        MemoryOp.WRITE: data,
        MemoryOp.SWAP: data,
        MemoryOp.CAS: data if old == request["compare"] else old,
        MemoryOp.ADD: (old + data) % (1 << config.xlen),
        MemoryOp.AND: old & data,
        MemoryOp.OR: old | data,
    }[request["op"]]


def request_of(op, address, data=0, compare=0):
    return {"op": op, "address": address, "data": data, "compare": compare}


@pytest.mark.parametrize("n_cores", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("n_banks", [1, 4])
@pytest.mark.parametrize("xlen", [16, 32])
def test_random_operations(n_cores, n_banks, xlen, simulate, convert):
    """Whatever the ports ask for: one operation per clock, in a fair order, each on what the one before it left."""
    config = MachineConfig(n_cores=n_cores, n_banks=n_banks, xlen=xlen, arena_depth=64)
    dut = Bank(config)
    seed = 100 * n_cores + 10 * n_banks + xlen
    rng = random.Random(seed)
    few = [0, 1, (1 << xlen) - 1, rng.getrandbits(xlen)]

    async def testbench(ctx):
        memory = {address: rng.choice(few) for address in (0, n_banks, 5 * n_banks, 64 - n_banks)}
        for address, word in memory.items():
            ctx.set(dut.load_valid, 1)
            ctx.set(dut.load_row, address // n_banks)
            ctx.set(dut.load_data, word)
            await ctx.tick()
        ctx.set(dut.load_valid, 0)

        pending = [None] * n_cores
        passed_over = [0] * n_cores
        candidates = 0                # who could be picked in the clock before
        for clock in range(400):
            density = 1 if clock < 200 else 0.2
            for i in range(n_cores):
                if pending[i] is None and rng.random() < density:
                    pending[i] = request_of(rng.choice(list(MemoryOp)), rng.choice(list(memory)), rng.choice(few), rng.choice(few))
                    ctx.set(dut.requests[i], pending[i])
            valid = sum(1 << i for i in range(n_cores) if pending[i])
            ctx.set(dut.valid, valid)
            _, _, done, old, record = await ctx.tick().sample(dut.done, dut.old, dut.record)

            where = f"seed {seed}, clock {clock}"
            assert (done != 0) == (candidates != 0), where
            assert done & (done - 1) == 0 and done & ~candidates == 0 and record.valid == (done != 0), where
            if done:
                core = done.bit_length() - 1
                request = pending[core]
                address = request["address"]
                new = outcome(config, request, memory[address])
                assert old == memory[address], where
                assert (record.core, record.op, record.address) == (core, request["op"], address), where
                assert (record.old, record.new) == (memory[address], new), where
                memory[address] = new
                pending[core] = None
                passed_over = [count + 1 if pending[i] and candidates >> i & 1 else 0 for i, count in enumerate(passed_over)]
                assert max(passed_over) < n_cores, where
            candidates = valid & ~done
        for address, word in memory.items():
            assert ctx.get(dut.data[address // n_banks]) == word, f"seed {seed}, address {address}"

    simulate(dut, testbench)
    convert(Bank(config))


def test_back_to_back_on_one_word(simulate):
    """Two cores add to one word in consecutive clocks: the second sees what the first has just written, clock by clock."""
    config = MachineConfig(n_cores=2)
    dut = Bank(config)

    async def testbench(ctx):
        for i in range(2):
            ctx.set(dut.requests[i], request_of(MemoryOp.ADD, 20, 1))
        ctx.set(dut.valid, 0b11)
        seen = []
        for _ in range(9):
            _, _, done, old = await ctx.tick().sample(dut.done, dut.old)
            seen.append((done, old if done else None))
        assert seen == [(0, None)] + [(1 + count % 2, count) for count in range(8)]

    simulate(dut, testbench)


@pytest.mark.parametrize("compare, new", [(7, 9), (6, 7)])
def test_compare_and_swap(compare, new, simulate):
    """CAS stores if the old value is the one expected; it gives the old value either way. Done in the clock after valid."""
    dut = Bank(MachineConfig(n_cores=1))

    async def testbench(ctx):
        ctx.set(dut.data[20], 7)
        await ctx.tick()
        ctx.set(dut.requests[0], request_of(MemoryOp.CAS, 20, 9, compare))
        ctx.set(dut.valid, 1)
        _, _, done = await ctx.tick().sample(dut.done)
        assert done == 0
        _, _, done, old, record = await ctx.tick().sample(dut.done, dut.old, dut.record)
        assert (done, old, record.old, record.new) == (1, 7, 7, new)
        ctx.set(dut.valid, 0)
        await ctx.tick()
        assert ctx.get(dut.data[20]) == new

    simulate(dut, testbench)
