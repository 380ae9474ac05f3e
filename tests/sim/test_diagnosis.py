"""What holds a call up, and whose fault that is; and interrupts that are lost, repeated or late."""

import json

import pytest

from rtl.apic.faults import FaultKind
from sim.diagnosis import Cause, Target, causes
from sim.engines.spec import EngineSpec
from sim.runs.plan import Plan
from sim.runs.prepare import prepare
from sim.runs.run import run


def _diagnosed(scenario, **options):
    plan = Plan(**options.pop("plan", {}))
    prepared = prepare(scenario, **options).under(plan=plan)
    engine = EngineSpec(prepared.run.config, room=prepared.room).make()
    return causes(run(prepared, engine=engine), engine, run)


def _drop(number, source=0):
    return {"fault": FaultKind.DROP, "fault_source": source, "fault_number": number}


@pytest.mark.parametrize("protocol", ["v4", "v2.6.30", "v6"])
def test_a_lost_interrupt_is_diagnosed_as_that(protocol):
    """Also where its call does not wait, and the next one finds that the queue is not empty."""
    stall = _diagnosed("single", protocol=protocol, plan=_drop(0)).stalls[0]
    assert (stall.target, stall.stage, stall.does, stall.cause) == (1, "ipi", Target.UNRESPONSIVE, Cause.INTERRUPT)
    result = _diagnosed("single", protocol=protocol, plan=_drop(2))
    assert not {"O12", "mask"} & result.seen.keys(), "nobody has sent an interrupt to the wrong core"
    assert {"ipi", "noipi"} >= {stall.stage for stall in result.stalls if stall.does is Target.UNRESPONSIVE} != set()
    assert {stall.cause for stall in result.stalls if stall.does is Target.UNRESPONSIVE} == {Cause.INTERRUPT}


def test_a_queue_that_is_broken_is_not_mended_by_an_interrupt(tmp_path):
    """The handler takes what is in the queue, and does nothing with it."""
    from sim.microcode.protocols import find_protocol
    text = find_protocol("v4").read_text(encoding="utf-8")
    old = "    beq   data, r3, .done @DEQUEUE_EMPTY\n"
    assert text.count(old) == 1
    path = tmp_path / "broken.uasm"
    path.write_text(text.replace(old, "    jmp   .done\n"), encoding="utf-8")
    stalls = _diagnosed("single", protocol=str(path)).stalls
    assert [(stall.target, stall.does, stall.cause) for stall in stalls] == [(1, Target.UNRESPONSIVE, Cause.QUEUE)]


def test_a_target_that_handles_another_call():
    """The function of a call waits for ever, and who comes later waits for it."""
    stalls = _diagnosed("sim/museum/own-core.toml").stalls
    assert {(stall.does, stall.other) for stall in stalls} >= {(Target.THIS, None), (Target.PRIOR, "1.0")}


def test_a_call_that_has_not_come_to_its_targets():
    stalls = _diagnosed("live-mask").stalls
    assert stalls and {(stall.does, stall.cause) for stall in stalls} == {(Target.UNASKED, None)}


def test_a_clean_run_has_nothing_to_say():
    assert _diagnosed("single").stalls == ()


@pytest.mark.parametrize("kind, more", [(FaultKind.TWICE, {}), (FaultKind.LATE, {"fault_delay": 300})])
def test_twice_or_late_does_no_harm(kind, more):
    plain, other = (_diagnosed("many", protocol="v6", plan=plan) for plan in ({}, {**_drop(2), "fault": kind, **more}))
    assert other.ok
    assert other.digest != plain.digest


def test_a_fault_by_the_command(crosscall, tmp_path):
    code, out, _ = crosscall("run", "single", "--fault", "drop:0:0", "--out", tmp_path, "--json")
    report = json.loads(out)
    assert code == 1
    assert report["stalls"][0]["cause"] == "the interrupt was lost"
    # The schedule beside the waves says the fault.
    code, out, _ = crosscall("replay", tmp_path / "single.schedule", "--no-vcd")
    assert code == 1
    assert "unresponsive, last ipi at " in out and "continues: the interrupt was lost" in out


def test_a_fault_of_an_interrupt_that_is_never_sent_is_said(crosscall):
    for number, said in ((3, False), (4, True)):
        _, _, err = crosscall("run", "single", "--fault", f"twice:0:{number}", "--no-vcd")
        assert err == (f"crosscall: --fault twice:0:{number}: core 0 sends 4 interrupts, numbered from 0, so nothing went wrong\n"
                       if said else "")


@pytest.mark.parametrize("text, message", [
    ("dorp:0:1", 'there is no such fault, did you mean "drop"?'),
    ("drop", "must be written as drop:CORE:NUMBER"),
    ("late:0:1", "must be written as late:CORE:NUMBER:CLOCKS"),
    ("drop:7:1", "there is no core 7; there are 2"),
    ("drop:0:70000", "70000 is too large; at most 65535"),
])
def test_faults_that_are_none(crosscall, text, message):
    code, out, err = crosscall("run", "single", "--fault", text)
    assert (code, out) == (2, "")
    assert f"--fault {text}: {message}" in err
