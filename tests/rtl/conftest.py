"""Components are tested against plain Python models, clock by clock."""

import pytest
from amaranth.back import rtlil
from amaranth.sim import Simulator


@pytest.fixture
def simulate():
    """Run the testbench on the component until it returns."""

    def run(component, testbench):
        simulator = Simulator(component)
        simulator.add_clock(1e-6, if_exists=True)
        simulator.add_testbench(testbench)
        simulator.run()

    return run


@pytest.fixture
def convert():
    """Convert the component to RTLIL: that refuses combinational loops, which the simulator does not see."""
    return rtlil.convert
