"""The Tile by itself on an FPGA."""

from amaranth.back import rtlil

from rtl.boards.harness import TileHarness
from rtl.config import PRESETS


def test_it_elaborates_with_two_pins():
    harness = TileHarness(PRESETS["tiny"])
    assert sorted(harness.signature.members) == ["input", "output"]
    assert "\\tile" in rtlil.convert(harness)
