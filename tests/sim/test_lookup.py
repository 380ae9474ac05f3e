"""Places in the microcode, as a person writes them."""

import pytest

from rtl.events import Event
from sim.errors import InputError
from sim.microcode.assembler import assemble
from sim.microcode.lookup import lookup
from sim.microcode.protocols import find_protocol

SOURCE = """
.title "places"
.macro twice
    nop
.inner:
    nop   !pair_wmb
.end
first:
second:
    nop
.loop:
    twice
    jmp   .loop
third:
    nop   @CALL(r0, r1)
.loop:
    nop   !pair_wmb
    twice
    nop   @CALL(r0, r1)
"""
LINE = {text: number for number, text in reversed(list(enumerate(SOURCE.splitlines(), 1)))}


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "own.uasm"
    path.write_text(SOURCE)
    return assemble(path, n_cores=1, xlen=16, any_events=True)


@pytest.mark.parametrize("text, addresses", [
    ("first", {0}), ("second", {0}), ("first+3", {3}), ("third", {4}), ("first+4", {4}),
    ("first.loop", {1}), ("second.loop", {1}), ("third.loop", {5}), ("third.loop+1", {6}),
    (f"own.uasm:{LINE['    jmp   .loop']}", {3}), (f"own.uasm:{LINE['    nop   @CALL(r0, r1)']}", {4}),
    (f"own.uasm:{LINE['    twice']}", {1}),                               # the first word of a macro
    ("CALL", {4, 8}), ("pair_wmb", {2, 5, 7}),
])
def test_a_place(text, addresses, image):
    assert lookup(text, image) == addresses


@pytest.mark.parametrize("text, says", [
    ("frist", 'own.uasm has no place "frist", did you mean "first"?'),
    ("first.inner", 'no place "first.inner"'),                            # a macro's own labels are no places
    ("third+99", "own.uasm has no word at third+99"), ("third+", "no place"), ("third+x", "no place"), ("+1", "no place"),
    ("", "no place"), ("TAKE", "no word of own.uasm emits TAKE"), ("CALLS", 'did you mean "CALL"?'),
    ("own.uasm:1", "own.uasm:1 gives no word of own.uasm; the nearest line that gives one is 4"),
    ("own.uasm:99999", f"the nearest line that gives one is {len(SOURCE.splitlines())}"),
    ("owm.uasm:8", 'own.uasm has no words from owm.uasm, did you mean "own.uasm"?'),
    ("protocol-of-mine.uasm:1", "no words from protocol-of-mine.uasm (it is made of own.uasm)"),
    (f"own.uasm:{LINE['    nop']}", "is in a macro that is used more than once: say where, as one of first+1 (own.uasm:"),
])
def test_no_place(text, says, image):
    with pytest.raises(InputError) as error:
        lookup(text, image)
    assert says in str(error.value)


@pytest.mark.parametrize("name", ["v4", "v6", "v2.6.29"])
def test_every_label_line_and_event_is_a_place(name):
    image = assemble(find_protocol(name), n_cores=4, xlen=16)
    for address, line in image.lines.items():
        if label := image.label(address):
            assert address in lookup(label, image)
        if not line.expansion:
            try:
                first, = lookup(f"{line.file}:{line.line}", image)
            except InputError as error:
                assert "more than once" in str(error)
            else:
                assert first <= address
    for event in set(image.events) - {Event.NONE}:
        assert lookup(event.name, image) == image.events[event]
