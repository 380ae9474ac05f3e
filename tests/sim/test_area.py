"""Area and clock of a Tile."""

from dataclasses import replace

import pytest

from rtl.config import PRESETS
from sim.report import area


@pytest.mark.synth
def test_a_tile_fits_an_hx8k_several_times():
    measured = area.measure(PRESETS["tiny"])
    assert measured.luts < 7680 / 3
    assert measured.block_rams == 7
    assert measured.fmax > 25
    assert sum(delay for delay, _ in measured.path) == pytest.approx(1000 / measured.fmax, rel=0.01)


def test_missing_tools_are_exit_3(monkeypatch, capsys):
    monkeypatch.setattr(area.shutil, "which", lambda name, path=None: None)
    assert area.main([]) == 3
    assert capsys.readouterr().err == "crosscall: yosys is not installed: pip install 'crosscall[synth]', or make synth\n"


def test_the_report(monkeypatch, capsys):
    made = area.Area(luts=10, flip_flops=20, block_rams=3, fmax=40.04, path=((1.5, "a.b"), (23.475, "c")))
    monkeypatch.setattr(area, "measure", lambda config: replace(made, luts=config.n_cores))
    assert area.main(["--preset", "wide"]) == 0
    assert capsys.readouterr().out == (
        'one Tile of the machine "wide": 32 LUT4, 20 flip-flops, 3 block RAMs; 40.0 MHz on an iCE40 HX8K\n'
        "critical path, in ns:\n   1.50  a.b\n  23.48  c\n")
