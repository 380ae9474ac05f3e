import random

import pytest

from rtl.config import MachineConfig
from rtl.memory.arena import Arena
from rtl.memory.port import MemoryOp


@pytest.mark.parametrize("n_cores", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 4)), 3, 8])
@pytest.mark.parametrize("n_banks", [1, 2, 4])
@pytest.mark.parametrize("latency, xlen", [(0, 16), (3, 32)])
def test_random_operations(n_cores, n_banks, latency, xlen, simulate, convert):
    """Every bank works in every clock in which a request has arrived; each is answered with what its word was."""
    config = MachineConfig(n_cores=n_cores, n_banks=n_banks, xlen=xlen, arena_depth=64)
    dut = Arena(config)
    seed = 1000 * n_cores + 100 * n_banks + latency
    rng = random.Random(seed)

    async def testbench(ctx):
        ctx.set(dut.latency, latency)
        memory = [rng.getrandbits(xlen) for _ in range(64)]
        ctx.set(dut.load_valid, 1)
        for address, word in enumerate(memory):
            ctx.set(dut.load_address, address)
            ctx.set(dut.load_data, word)
            await ctx.tick()
        ctx.set(dut.load_valid, 0)

        pending = [None] * n_cores    # (clock in which valid rose, address, operand)
        working = [False] * n_banks
        for clock in range(250):
            for i, port in enumerate(dut.ports):
                if pending[i] is None and rng.random() < 0.4:
                    pending[i] = clock, rng.randrange(8), rng.getrandbits(xlen)
                    ctx.set(port.request, {"op": MemoryOp.SWAP, "address": pending[i][1], "data": pending[i][2]})
                ctx.set(port.valid, pending[i] is not None)
            _, _, records, *answers = await ctx.tick().sample(
                dut.records, *(signal for port in dut.ports for signal in (port.done, port.old)))

            where = f"seed {seed}, clock {clock}"
            done = answers[::2]
            assert [record.valid for record in records] == working, where
            assert {record.core for record in records if record.valid} == {i for i in range(n_cores) if done[i]}, where
            for bank, record in enumerate(records):
                if record.valid:
                    _, address, operand = pending[record.core]
                    assert address % n_banks == bank, where
                    assert (record.op, record.address) == (MemoryOp.SWAP, address), where
                    assert record.old == answers[2 * record.core + 1] == memory[address] and record.new == operand, where
                    memory[address] = operand
            working = [any(p and p[0] + latency <= clock and p[1] % n_banks == bank and not d
                           for p, d in zip(pending, done, strict=True)) for bank in range(n_banks)]
            pending = [None if d else p for p, d in zip(pending, done, strict=True)]
        for address, word in enumerate(memory):
            bank, row = dut.locate(address)
            assert ctx.get(dut.banks[bank].data[row]) == word, f"seed {seed}, address {address}"

    simulate(dut, testbench)
    convert(Arena(config))


def test_answers_in_the_next_clock(simulate):
    """Without latency and contention a request is done in the clock after the one in which it rose, and so is the next one."""
    dut = Arena(MachineConfig(n_cores=2))
    port = dut.ports[1]

    async def testbench(ctx):
        ctx.set(port.valid, 1)
        for address in (16, 17):
            ctx.set(port.request.address, address)
            _, _, first = await ctx.tick().sample(port.done)
            _, _, second = await ctx.tick().sample(port.done)
            assert (first, second) == (0, 1)

    simulate(dut, testbench)
