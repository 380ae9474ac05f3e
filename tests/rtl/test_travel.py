import random

import pytest

from rtl.travel import Travel


@pytest.mark.parametrize("n", [1, 2, 3, 8])
@pytest.mark.parametrize("latency", [0, 1, 2, 7, 255])
def test_ready_after_the_latency(n, latency, simulate, convert):
    dut = Travel(n)
    seed = 1000 * n + latency
    rng = random.Random(seed)

    async def testbench(ctx):
        ctx.set(dut.latency, latency)
        age = [None] * n              # clocks since valid rose
        held = 0
        for clock in range(200 + 4 * latency):
            age = [0 if a is None and rng.random() < 0.3 else a for a in age]
            ready = sum(1 << i for i, a in enumerate(age) if a is not None and a >= latency) & ~held
            done = ready & rng.getrandbits(n)
            held = rng.getrandbits(n) & rng.getrandbits(n)
            ctx.set(dut.valid, sum(1 << i for i, a in enumerate(age) if a is not None))
            ctx.set(dut.done, done)
            ctx.set(dut.hold, held)
            _, _, sampled = await ctx.tick().sample(dut.ready)
            assert sampled == ready, f"seed {seed}, clock {clock}"
            age = [None if a is None or done >> i & 1 else a + 1 for i, a in enumerate(age)]

    simulate(dut, testbench)
    convert(Travel(n))
