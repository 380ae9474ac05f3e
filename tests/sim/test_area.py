"""Area and clock of a Tile."""

import re

import pytest
from amaranth.back import rtlil

from rtl.boards.harness import UnseenTile
from rtl.config import PRESETS
from sim.boards import tools
from sim.boards.tools import run_tool
from sim.report import area


@pytest.mark.synth
def test_a_tile_fits_an_hx8k_several_times():
    said = []
    measured = area.measure(area.STRUCTURES["two-stores"], seeds=(1, 2), progress=said.append)
    assert measured.luts < 7680 / 4
    # Four bits of every microword in each, without the event; and the stack.
    assert measured.block_rams == 12
    assert min(measured.fmax) > 30
    assert sum(delay for delay, _ in measured.path) == pytest.approx(1000 / min(measured.fmax), rel=0.01)
    assert said == ["synthesis of the Tile", "synthesis of the harness", "place and route with seed 1",
                    "place and route with seed 2"]


@pytest.mark.synth
def test_collisions_are_forgotten_of_the_two_memories_of_a_tile(tmp_path):
    """The command finds both read ports, by the names of their memories."""
    (tmp_path / "top.il").write_text(rtlil.convert(UnseenTile(PRESETS["tiny"])))
    (tmp_path / "top.ys").write_text("read_rtlil top.il\n" + area.ICE40_PREPARATION + "\n"
                                     "select -assert-count 2 t:$memrd_v2\n"
                                     "select -assert-count 2 t:$memrd_v2 r:COLLISION_X_MASK=1'1 %i\n")
    run_tool("yosys", ["-q", "top.ys"], tmp_path)


@pytest.mark.synth
def test_names_of_elements_are_not_those_of_bits(tmp_path):
    """Yosys ends with an assertion where they are: here, in every module of a Tile that is synthesised by itself."""
    (tmp_path / "top.il").write_text(rtlil.convert(UnseenTile(PRESETS["tiny"])))
    (tmp_path / "top.ys").write_text("read_rtlil top.il\n" + area.ICE40_PREPARATION + "\n"
                                     "synth_ice40 -noflatten -top top\nselect -assert-none w:*\\[*\n")
    run_tool("yosys", ["-q", "top.ys"], tmp_path)


def test_missing_tools_are_exit_3(monkeypatch, capsys):
    monkeypatch.setattr(tools, "find_spec", lambda name: None)
    monkeypatch.setattr(tools.shutil, "which", lambda name, path=None: None)
    assert area.main([]) == 3
    assert re.match(r"crosscall: nextpnr-ice40 is not installed: pip install ", capsys.readouterr().err)


@pytest.mark.parametrize(("arguments", "message"), [
    (["two-stors"], f'there is no structure "two-stors", did you mean "two-stores"? (there are: {", ".join(area.STRUCTURES)})'),
    (["--seeds", "0"], "--seeds 0: must be at least 1"),
])
def test_refusals_are_exit_2(arguments, message, capsys):
    assert area.main(arguments) == 2
    assert capsys.readouterr() == ("", f"crosscall: {message}\n")


def test_the_table(monkeypatch, capsys):
    """A row for each structure, as a page has it, and below it the critical paths."""
    def measure(config, *, seeds, progress):
        progress("something")
        return area.Area(luts=config.store_buffer_depth, flip_flops=20, block_rams=3, fmax=tuple(40.04 + seed for seed in seeds),
                         path=((1.5, "a.b"), (23.475, "c")))

    monkeypatch.setattr(area, "measure", measure)
    assert area.main(["two-stores", "default", "--seeds", "3"]) == 0
    out, err = capsys.readouterr()
    assert out == """\
| structure | LUT4 | flip-flops | block RAM | MHz (median) | MHz by seed |
|---|---|---|---|---|---|
| two-stores | 2 | 20 | 3 | 42.0 | 41.0 / 42.0 / 43.0 |
| default | 4 | 20 | 3 | 42.0 | 41.0 / 42.0 / 43.0 |

critical path of two-stores, in ns:
   1.50  a.b
  23.48  c

critical path of default, in ns:
   1.50  a.b
  23.48  c
"""
    assert err == "two-stores: something\ndefault: something\n"
