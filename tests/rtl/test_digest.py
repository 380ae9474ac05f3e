"""The digest in hardware and the one in Python."""

import random

import pytest
from amaranth.hdl import Value

from rtl.config import MachineConfig
from rtl.digest import Digest
from sim import records

CONFIGS = [MachineConfig(n_cores=n, n_banks=banks, arena_depth=64, microcode_depth=64, xlen=xlen)
           for n, banks, xlen in [(1, 1, 16), (2, 2, 16), (3, 1, 32), (4, 4, 16), (8, 1, 64)]]


@pytest.mark.parametrize("config", [*CONFIGS[:-1], pytest.param(CONFIGS[-1], marks=pytest.mark.slow)],
                         ids=lambda config: f"{config.n_cores} cores")
def test_random_records(config, simulate, convert):
    """Any records, in runs that pause, with whatever the sources show when they have none."""
    dut = Digest(config)
    sources = records.Sources(config)
    model = records.Digest(sources)
    seed = config.n_cores
    rng = random.Random(seed)

    async def testbench(ctx):
        clock = 0
        for _ in range(25):
            running = rng.random() < 0.7
            raw = [rng.getrandbits(sources.layouts[kind].size) for kind in sources.kinds]
            ctx.set(dut.run, running)
            ctx.set(Value.cast(dut.trace), _joined(raw, sources))
            await ctx.tick()
            if running:
                for index, value in enumerate(raw):
                    if value & 1:
                        model.add(clock, index, value)
                clock += 1
        ctx.set(dut.run, 0)
        ctx.set(Value.cast(dut.trace), (1 << len(Value.cast(dut.trace))) - 1)
        for _ in range(Digest.LATENCY - 1):
            await ctx.tick()
        assert ctx.get(dut.digest) == model.value(), f"seed {seed}"
        await ctx.tick()
        assert ctx.get(dut.digest) == model.value(), f"seed {seed}"

    simulate(dut, testbench)
    convert(Digest(config))


def test_the_clock_counts_modulo_2_32():
    """The clock has 32 bits in hardware and in Python."""
    sources = records.Sources(CONFIGS[0])
    one, other = records.Digest(sources), records.Digest(sources)
    one.add(5, 0, 1)
    other.add((1 << 32) + 5, 0, 1)
    assert one.value() == other.value()


def _joined(raw, sources):
    """Records of all sources as a trace has them."""
    result = width = 0
    for kind, value in zip(sources.kinds, raw, strict=True):
        assert sources.layouts[kind]["valid"].offset == 0
        result |= value << width
        width += sources.layouts[kind].size
    return result
