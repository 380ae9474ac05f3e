import re
import zlib

import pytest

from rtl.events import Event
from rtl.memory.port import MemoryOp
from sim.errors import InputError
from sim.records import CoreRecord, Sources
from sim.waves.reader import read_records
from sim.waves.writer import WaveWriter

from .waves_samples import STAGES, Run, config_for, make_image, write


def said(run, start=0):
    """The records of a run that a VCD gives back."""
    return [record for record in run.records
            if record.clock >= start and not (isinstance(record, CoreRecord) and record.event is Event.NONE)]


@pytest.fixture(scope="module")
def vcd(tmp_path_factory):
    """A small file of ours, as (path, bytes)."""
    path = tmp_path_factory.mktemp("waves") / "run.vcd"
    write(Run(config_for(2), 60), path)
    return path, path.read_bytes()


@pytest.mark.parametrize("options", [{"n_banks": 4}, {"n_vectors": 256, "xlen": 32}, {}])
@pytest.mark.parametrize("n_cores", [1, 2, 3, 4, 8, 32])
def test_round_trip(tmp_path, n_cores, options):
    run = Run(config_for(n_cores, **options), 150, seed=n_cores)
    write(run, tmp_path / "run.vcd")
    config, metadata, records = read_records(tmp_path / "run.vcd")
    assert records == said(run)
    assert config == run.config
    assert (metadata.start, metadata.end, metadata.meta, metadata.comment) == (0, 150, {"seed": 1}, "made up")
    assert metadata.stages == ("", *STAGES[1:])


def test_window_gives_the_records_of_its_clocks(tmp_path):
    run = Run(config_for(3), 150)
    for start in (1, 50, 149):
        write(run, tmp_path / "run.vcd", start=start)
        config, metadata, records = read_records(tmp_path / "run.vcd")
        assert records == said(run, start)
        assert (metadata.start, metadata.end) == (start, 150)


def test_image_comes_back_without_its_folders(vcd):
    image = make_image(config_for(2))
    copy = read_records(vcd[0]).metadata.image
    assert (str(copy.path), copy.lines[3].file, copy.lines[3].expansion) == ("made-up.uasm", "made-up.uasm", (("lib.uasm", 3),))
    for name in ("title", "n_cores", "xlen", "words", "symbols", "entries", "arena", "objects", "constants", "structs", "warnings",
                 "names", "percpu_base", "percpu_shift", "heap"):
        assert getattr(copy, name) == getattr(image, name), name
    assert [copy.label(pc) for pc in range(64)] == [image.label(pc) for pc in range(64)]


def test_fields_that_are_not_valid_are_zero(tmp_path):
    config = config_for(1)
    sources = Sources(config)
    path = tmp_path / "run.vcd"
    with WaveWriter(path, config, make_image(config)) as writer:
        writer.on_clock(0, [sources.encode(CoreRecord(0, 0, Event.LOCK_TRY, 1, 2, 3, MemoryOp.SWAP, 16, 1, True))], 0)
        writer.on_clock(1, [sources.encode(CoreRecord(1, 0, Event.WAIT, 1, 2, 3, None, 77, 88))], 0)
        writer.on_clock(2, [sources.encode(CoreRecord(2, 0, Event.FAULT, 1, 2, 3, None, 0xFFFF, 88))], 0)
        writer.close(3)
    assert [record[6:] for record in read_records(path).records] == [
        (MemoryOp.SWAP, 16, 1, True), (None, 0, 0, False), (None, 0xFFFF, 0, False)]


def refusal(tmp_path, content):
    path = tmp_path / "bad.vcd"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_records(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


def test_truncated_anywhere(tmp_path, vcd):
    content = vcd[1]
    step = max(1, len(content) // 100)
    head = content.index(b"\n", 10) + 1
    for length in [*range(0, len(content), step), *range(len(content) - 50, len(content))]:
        message = refusal(tmp_path, content[:length])
        lines = max(1, len(content[:length].splitlines()))
        if length < head:
            assert re.fullmatch(r":1: (this is not a VCD of crosscall: .*|this waveform is cut off: .*)", message)
        else:
            assert message == f":{lines}: this waveform is cut off: the mark at its end is missing"


def test_truncated_at_the_end_of_a_line(tmp_path, vcd):
    lines = vcd[1].splitlines(keepends=True)
    for number in range(2, len(lines), 17):
        message = refusal(tmp_path, b"".join(lines[:number]))
        assert message == f":{number}: this waveform is cut off: the mark at its end is missing"


@pytest.mark.parametrize("content", [
    b"", b"\x00\xff" * 5000, b"$date today $end\n$enddefinitions $end\n#0\n", b"$comment\n\tcrosscall waves 2\n",
])
def test_not_ours(tmp_path, content):
    message = refusal(tmp_path, content)
    assert message == (":1: this is not a VCD of crosscall: it does not start with 'crosscall waves 1'" if content else
                       ":1: this waveform is cut off: the mark at its end is missing")


def test_damaged(tmp_path, vcd):
    content = vcd[1]
    lines = content.splitlines(keepends=True)
    last = len(lines)
    place = next(number for number, line in enumerate(lines) if line.startswith(b"b") and number > last // 2)
    broken = [*lines[:place], b"b1$2 !\n", *lines[place + 1:]]
    assert refusal(tmp_path, b"".join(broken)) == f":{place + 1}: this line is not a value change"
    missing = lines[:place] + lines[place + 1:]
    assert refusal(tmp_path, b"".join(missing)) == (
        f":{last - 1}: this waveform was changed after it was written: the checksum is wrong")
    assert refusal(tmp_path, content + b"#9\n") == f":{last + 1}: this waveform continues after its end"


@pytest.mark.parametrize(("old", "new"), [
    (rb'"n_cores": 2', b'"n_cores": 99'),
    (rb'"n_cores": 2', b'"n_cores": 4'),
    (rb'"config"', b'"confug"'),
    (rb'"words": \[', b'"words": [[['),
    (rb"\$var wire 7 (\S+) event \$end", rb"$var wire 7 \1 evont $end"),
    (rb"\$scope module core0 \$end", b"$scope module care0 $end"),
])
def test_contradictions(tmp_path, vcd, old, new):
    """Somebody has edited the header and set the checksum right."""
    body = re.sub(old, new, vcd[1], count=1)
    body = body[:body.rindex(b"$comment crosscall end")]
    message = refusal(tmp_path, body + b"$comment crosscall end %08x $end\n" % zlib.crc32(body))
    assert re.match(r":\d+: this waveform contradicts itself: ", message)


def test_no_file(tmp_path):
    with pytest.raises(InputError) as caught:
        read_records(tmp_path / "no.vcd")
    assert str(caught.value) == f"{tmp_path / 'no.vcd'}: cannot be read: No such file or directory"
