"""Waves as FST: a tenth of the VCD's size, and the same to an independent reader."""

import re
import shutil
import subprocess

import pytest

from sim.errors import InputError, MissingToolError
from sim.waves.fst import write_fst
from sim.waves.writer import ESCAPES

pytest.importorskip("pylibfst")
pywellen = pytest.importorskip("pywellen")
from .test_waves_gtkw import SCRIPT, traces  # noqa: E402

MEANT = {text: chr(code) for code, text in ESCAPES.items()}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """(VCD, FST) of the demo."""
    from sim.engines.spec import EngineSpec
    from sim.report.views import Views
    from sim.runs.prepare import prepare
    from sim.runs.run import run

    out = tmp_path_factory.mktemp("fst")
    prepared = prepare("demo")
    views = Views(prepared, fst=True)
    result = run(prepared, engine=EngineSpec(prepared.run.config).make(), out=out, watch=views.timeline)
    files = views.write(result, out).files
    return files["waves"], files["fst"]


def signals(path):
    """Name -> (kind, bits, [(time, value)])."""
    return {var.full_name: (var.var_type, var.bitwidth, list(var.tv)) for var in pywellen.Waveform(str(path)).all_vars()}


def test_a_tenth_of_the_size(demo):
    vcd, fst = demo
    assert fst.stat().st_size * 10 < vcd.stat().st_size


def test_the_same_to_another_reader(demo):
    vcd, fst = map(signals, demo)
    assert len(vcd) > 600
    assert set(vcd) == set(fst)
    for name, (kind, bits, changes) in vcd.items():
        if kind == "String":
            # The reader leaves the texts of a VCD as they are written there.
            changes = [(time, re.sub(r"\\x20|\\.", lambda found: MEANT[found[0]], value)) for time, value in changes]
        assert fst[name] == (kind, bits, changes), name
    assert any(" " in value for kind, _, changes in fst.values() if kind == "String" for _, value in changes)


@pytest.mark.gtkwave
@pytest.mark.skipif(not (shutil.which("gtkwave") and shutil.which("xvfb-run")), reason="needs gtkwave and xvfb")
def test_gtkwave_shows_the_same_traces(demo, tmp_path):
    """With the save file of the VCD."""
    (tmp_path / "script.tcl").write_text(SCRIPT)
    shown = []
    for waves in demo:
        done = subprocess.run(["xvfb-run", "-a", "gtkwave", "-S", tmp_path / "script.tcl", waves, waves.with_suffix(".gtkw")],
                              text=True, capture_output=True, timeout=60, cwd=waves.parent)
        assert re.search(rf"^FILE .*\b{waves.name}$", done.stdout, re.MULTILINE), done.stdout[-500:]
        shown.append(re.findall(r"^SIGNAL (.*)$", done.stdout, re.MULTILINE))
    assert shown[0] == shown[1] and len(shown[0]) == len(traces(demo[0].with_suffix(".gtkw"))) > 100


def test_equal_waves_give_equal_files(demo, tmp_path):
    write_fst(demo[0], tmp_path / "again.fst")
    assert (tmp_path / "again.fst").read_bytes() == demo[1].read_bytes()


def test_the_command(crosscall, tmp_path):
    code, out, err = crosscall("run", "single", "--fst")
    assert (code, err) == (0, "")
    assert "fst     waves/single.fst" in out
    assert (tmp_path / "waves" / "single.fst").stat().st_size > 1000
    code, out, err = crosscall("run", "single", "--fst", "--no-vcd")
    assert (code, out) == (2, "") and "--no-vcd" in err


def test_what_is_missing_is_said_before_the_run(crosscall, tmp_path, monkeypatch):
    monkeypatch.setattr("sim.waves.fst.find_spec", lambda name: None)
    code, out, err = crosscall("run", "single", "--fst")
    assert (code, out) == (3, "") and "pip install pylibfst" in err
    assert not (tmp_path / "waves").exists()
    with pytest.raises(MissingToolError):
        write_fst(tmp_path / "x.vcd", tmp_path / "x.fst")


def test_a_folder_that_is_not_there(demo, tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        write_fst(demo[0], tmp_path / "no" / "x.fst")
