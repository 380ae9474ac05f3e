"""The Tile by itself on an FPGA."""

from amaranth.back import rtlil

from rtl.boards.bench import TileBench
from rtl.config import PRESETS


def test_it_elaborates_with_two_pins():
    bench = TileBench(PRESETS["tiny"])
    assert sorted(bench.signature.members) == ["input", "output"]
    assert "\\tile" in rtlil.convert(bench)
