import re
import shutil
import subprocess

import pytest

from sim.calls import Stage
from sim.stages import COLOURS
from sim.waves.feed import STAGES
from sim.waves.gtkw import write_gtkw
from sim.waves.writer import WaveWriter

from .waves_samples import Run, config_for, make_image, write


@pytest.fixture
def saved(tmp_path):
    """(writer, path of the save file) in a folder that has moved since it was written."""
    (tmp_path / "before").mkdir()
    writer = write(Run(config_for(3), 200), tmp_path / "before" / "run.vcd")
    write_gtkw(writer)
    (tmp_path / "before").rename(tmp_path / "after")
    return writer, tmp_path / "after" / "run.gtkw"


def traces(path):
    """The full names in a save file."""
    return [line.rpartition(" ")[2] for line in path.read_text().splitlines() if line.startswith("+{")]


def test_every_trace_is_a_signal(saved):
    writer, path = saved
    for name in traces(path):
        name, _, high = name.removesuffix(":0]").rpartition("[") if name.endswith(":0]") else (name, "", "")
        width = writer.signals[name]
        assert width == (int(high) + 1 if high else width) and (high or width in (0, 1))


def test_no_name_of_a_file_is_absolute(saved):
    _, path = saved
    text = path.read_text()
    assert '[dumpfile] "run.vcd"\n[savefile] "run.gtkw"\n' in text
    filters = set(re.findall(r"^\^\d+ (.*)$", text, re.MULTILINE))
    assert filters == {f"run.filters/{name}.txt" for name in ("apic_event", "event", "memory_op", "mode", "op", "stage", "state")}
    assert all((path.parent / name).exists() for name in filters)
    assert (path.parent / "run.filters" / "state.txt").read_text().startswith("0 RUN\n1 MEMORY\n")
    # Made up stages have no colour.
    assert (path.parent / "run.filters" / "stage.txt").read_text().startswith("0 ?black?\n1 ?RoyalBlue?queue\n")


def test_the_first_call_fills_the_window(saved):
    writer, path = saved
    text = path.read_text()
    first, last = writer.first_call
    start = int(re.search(r"\[timestart\] (\d+)", text)[1])
    zoom, marker, named = re.search(r"^\*(\S+) (\S+) (\S+) -1", text, re.MULTILINE).groups()
    assert 0 <= first * 10 - start < (last - first)
    pixels = (last + 1 - first) * 10 * 200 / 2 ** -float(zoom)
    assert 980 < pixels < 1100
    assert int(marker) == int(named) == writer.first_violation * 10


def test_without_calls_and_violations(tmp_path):
    config = config_for(1)
    with WaveWriter(tmp_path / "run.vcd", config, make_image(config), start=3) as writer:
        writer.on_clock(3, [], 0)
        writer.close(20)
    text = write_gtkw(writer).read_text()
    assert "[timestart] 30\n" in text
    assert re.search(r"^\*\S+ -1 -1 ", text, re.MULTILINE)


def coloured(folder):
    """The save file of a run with every stage, one after the other, from clock 1 on."""
    config = config_for(1)
    with WaveWriter(folder / "run.vcd", config, make_image(config), stages=STAGES) as writer:
        for clock, stage in enumerate((*Stage, Stage.NONE)):
            writer.on_clock(clock, [], 0)
            writer.annotate(clock, 0, "0.0" if stage else None, stage)
        writer.close(len(Stage) + 1)
    return write_gtkw(writer)


def test_stages_have_the_colours_of_the_page(tmp_path):
    path = coloured(tmp_path)
    lines = (path.parent / "run.filters" / "stage.txt").read_text().splitlines()
    assert lines == ["0 ?black?", *(f"{stage:d} ?{COLOURS[stage]}?{stage.text}" for stage in Stage if stage)]
    # The row of a core is that of the numbers, since GTKWave does not translate texts.
    assert "core0.stage[4:0]" in traces(path) and "core0.stage_text" not in traces(path)


SCRIPT = """
foreach name [gtkwave::getDisplayedSignals] { puts "SIGNAL $name" }
puts "FILE [gtkwave::getDumpFileName]"
flush stdout
exit
"""


@pytest.mark.gtkwave
@pytest.mark.parametrize("where", ["beside", "elsewhere"])
def test_gtkwave_finds_every_trace(tmp_path, saved, where):
    for tool in ("gtkwave", "xvfb-run"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed (apt-get install gtkwave xvfb)")
    _, path = saved
    (tmp_path / "script.tcl").write_text(SCRIPT)
    done = subprocess.run(["xvfb-run", "-a", "gtkwave", "-S", tmp_path / "script.tcl", path], text=True, capture_output=True,
                          timeout=60, cwd=path.parent if where == "beside" else "/")
    found = re.findall(r"^SIGNAL (.*)$", done.stdout, re.MULTILINE)
    assert f"FILE {path.with_suffix('.vcd')}" in done.stdout or "FILE run.vcd" in done.stdout
    # GTKWave shows escaped names without their backslash.
    wanted = [name.replace("\\", "") for name in traces(path)]
    assert len(wanted) > 100
    assert [name.replace("\\", "") for name in found] == wanted


GRAB = """
after 500
gtkwave::/File/Grab_To_File stages.png
exit
"""


@pytest.mark.gtkwave
def test_gtkwave_knows_the_colours(tmp_path):
    """It would show the name of an unknown colour as text."""
    colours = pytest.importorskip("PIL.ImageColor", reason="Pillow is not installed (make pictures installs it)")
    for tool in ("gtkwave", "xvfb-run"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed (apt-get install gtkwave xvfb)")
    path = coloured(tmp_path)
    (tmp_path / "grab.tcl").write_text(GRAB)
    subprocess.run(["xvfb-run", "-a", "-s", "-screen 0 1600x1200x24", "gtkwave", "-S", "grab.tcl", path.name], cwd=tmp_path,
                   capture_output=True, timeout=60, check=True)
    from PIL import Image

    with Image.open(tmp_path / "stages.png") as picture:
        counts = picture.convert("RGB").getcolors(picture.width * picture.height)
    # More than text and frames have.
    shown = {colour for count, colour in counts if count > 200}
    assert {stage for stage in COLOURS if colours.getrgb(COLOURS[stage]) not in shown} == set()
