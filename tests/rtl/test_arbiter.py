import random

import pytest

from rtl.arbiter import RoundRobin

SIZES = [1, 2, 3, 4, 5, 8, 32]


@pytest.mark.parametrize("n", SIZES)
def test_grants_in_turn(n, simulate, convert):
    """Against the model: the first requester above the one granted last, around the end."""
    dut = RoundRobin(n)
    seed = n
    rng = random.Random(seed)

    async def testbench(ctx):
        last = n - 1
        for clock in range(400):
            requests = rng.choice([0, rng.getrandbits(n), rng.getrandbits(n) & rng.getrandbits(n), (1 << n) - 1])
            ctx.set(dut.requests, requests)
            _, _, grant, index = await ctx.tick().sample(dut.grant, dut.index)
            turn = [(last + step) % n for step in range(1, n + 1)]
            winner = next((i for i in turn if requests >> i & 1), None)
            expected = (0, 0) if winner is None else (1 << winner, winner)
            assert (grant, index) == expected, f"seed {seed}, clock {clock}, requests {requests:#b}"
            last = last if winner is None else winner

    simulate(dut, testbench)
    convert(RoundRobin(n))


@pytest.mark.parametrize("n", SIZES)
def test_is_fair(n, simulate):
    """Who keeps requesting is granted within n grants, whatever the others do."""
    dut = RoundRobin(n)
    seed = 100 + n
    rng = random.Random(seed)

    async def testbench(ctx):
        waited = [0] * n
        requests = 0
        for clock in range(600):
            requests |= rng.getrandbits(n)
            ctx.set(dut.requests, requests)
            _, _, grant = await ctx.tick().sample(dut.grant)
            for i in range(n):
                waited[i] = waited[i] + 1 if requests & ~grant & 1 << i else 0
            assert max(waited) < n, f"seed {seed}, clock {clock}: passed over {waited}"
            requests &= ~grant

    simulate(dut, testbench)
