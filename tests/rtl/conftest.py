"""Components are tested against plain Python models, clock by clock."""

import pytest
from amaranth.back import rtlil
from amaranth.sim import Simulator

from sim.engines.engine import Contents
from sim.microcode.assembler import assemble


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


@pytest.fixture
def assembled(tmp_path):
    """Assembles a text: gives the contents, and the addresses of labels and objects by name."""

    def make(text, n_cores=1, **defines):
        path = tmp_path / "program.uasm"
        path.write_text(text)
        image = assemble(path, n_cores=n_cores, xlen=16, defines=defines, any_events=True)
        addresses = {**image.symbols, **{item.name: item.address for item in image.objects}}
        return Contents(microcode=image.words, arena=image.arena), addresses

    return make
