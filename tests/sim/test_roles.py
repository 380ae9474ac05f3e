"""What a protocol says of its parts, and who finds them by it."""

import pytest

from sim.errors import InputError
from sim.microcode.assembler import assemble
from sim.microcode.listing import listing
from sim.microcode.roles import Part
from sim.oracles.places import Places

#: A csd inside another struct, in an array, on each core and once; with a count and a mask beside it.
PROGRAM = """
.const BUSY = 4
.const SLEEPS = 8
.const SPARE = 16
.struct node
    next
    prev
.end
.struct job
    what
    links: node
    whereto
    marks
.end
.struct crowd
    before
    job: job
    to_come
    who: -> node
.end
.struct line
    pad
    place: node
.end
.global lines: line[2]
.global other: crowd
.percpu crowds: crowd
.percpu jobs: job[2]
.percpu frames: word[4]
.percpu frames_end: word
go:
.entry cmd_go
    ret
.role csd           job
.role csd.func      job.what
.role csd.info      job.whereto
.role csd.flags     job.marks
.role csd.next      job.links.next
.role flag.lock     BUSY
.role flag.wait     SLEEPS
.role flag.other    SPARE
.role targets.count crowd.to_come
.role targets.mask  crowd.who
.role list          line.place
.role stack         frames
.role stack.end     frames_end
.role call.go       go
"""


@pytest.fixture
def build(tmp_path):
    return lambda text: assemble(tmp_path / "p.uasm", n_cores=2, xlen=16, text=text)


def test_places_come_from_roles(build):
    image = build(PROGRAM)
    places, at = Places(image), image.address_of
    assert (places.lock, places.wait, places.flag_bits) == (4, 8, 28)
    assert {csd.name: address for address, csd in places.csds.items()} == {
        "other.job": at("other.job.what"), **{f"crowds[{cpu}].job": at(f"crowds[{cpu}].job.what") for cpu in range(2)},
        **{f"jobs[{cpu}][{number}]": at(f"jobs[{cpu}][{number}].what") for cpu in range(2) for number in range(2)}}
    assert (places.csd_size, places.flags_offset, places.next_offset, places.link_offset) == (5, 4, 1, 1)
    assert places.csd_payload(100) == [100, 103, 104]
    tally = places.tallies[at("crowds[1].job.what")]
    assert tally == (at("crowds[1].to_come"), at("crowds[1].who"), True)
    assert len(places.tallies) == 3
    assert {head.name: (address, head.circular) for address, head in places.heads.items()} == {
        f"lines[{number}].place": (at(f"lines[{number}].place.next"), True) for number in range(2)}
    assert places.stack_words == {at(f"frames[{cpu}][{number}]"): cpu for cpu in range(2) for number in range(4)}
    assert places.stack_pointers == {cpu: at(f"frames_end[{cpu}]") for cpu in range(2)}
    assert places.cpu_of(at("jobs[1][0].what")) == 1 and places.cpu_of(at("other.job.what")) is None
    assert image.call_names == {"go": "go"}


def test_without_roles_there_is_nothing(build):
    places = Places(build("\n".join(line for line in PROGRAM.splitlines() if not line.startswith(".role"))))
    assert not (places.lock or places.csds or places.tallies or places.heads or places.stack_words)
    assert places.flags_offset is None and places.link_offset is None


def test_a_head_of_one_word_is_empty_when_it_is_0(build):
    image = build(PROGRAM.replace(".role list          line.place", ".role list line.pad"))
    assert not any(head.circular for head in Places(image).heads.values())


def test_the_listing_shows_them(build):
    text = listing(build(PROGRAM))
    assert "csd.next       job.links.next\n" in text and "call.go        go\n" in text
    assert build(PROGRAM).roles["flag.other"] == (Part("SPARE", value=16),)


@pytest.mark.parametrize("line, place, message", [
    (".role csd.fags job.marks", 7, 'unknown role csd.fags, did you mean "csd.flags"?'),
    (".role csd jobb", 11, 'unknown struct jobb, did you mean "job"?'),
    (".role csd jobs", 11, "unknown struct jobs"),
    (".role csd job.what", 14, "a struct is expected here, not a field"),
    (".role csd crowd", 7, "only one thing may have the role csd"),
    (".role masks frames, other", 7, "only one thing may have the role masks"),
    (".role masks nobody", 13, "unknown name nobody"),
    (".role masks BUSY", 13, "BUSY is a constant, but an object is expected here"),
    (".role flag.other frames", 18, "frames is an object, but a constant is expected here"),
    (".role list line", 12, "line is a struct: name a field, line.FIELD"),
    (".role list line.plaec", 16, 'line has no field plaec, did you mean "place"?'),
    (".role call.went go", 7, 'there is no entry point cmd_went'),
    (".role call.go BUSY", 15, "BUSY is a constant, but a label is expected here"),
    (".role", 6, "expected a name, not the end of the line"),
    (".role csd", 10, "expected a name"),
])
def test_refusals(build, line, place, message):
    with pytest.raises(InputError) as refused:
        build(f"{PROGRAM}{line}\n")
    assert refused.value.message.startswith(message)
    assert (refused.value.line, refused.value.column) == (len(PROGRAM.splitlines()) + 1, place)


@pytest.mark.parametrize("role, part, message", [
    ("csd.flags", "crowd.to_come", "csd.flags is a field of the struct with the role csd, which is job"),
    ("csd.next", "job.links", "job.links is more than one word"),
    ("targets.mask", "crowd.job", "crowd.job is more than one word"),
])
def test_fields_are_what_they_must_be(build, role, part, message):
    lines = [f".role {role} {part}" if line.startswith(f".role {role} ") else line for line in PROGRAM.splitlines()]
    with pytest.raises(InputError, match=message):
        build("\n".join(lines))


def test_the_struct_of_a_field_is_said_first(build):
    with pytest.raises(InputError, match="the role csd, and none has it so far"):
        build(PROGRAM.replace(".role csd           job\n", ""))
