"""A run from its VCD alone: its calls, and the contents of its page."""

import re
from collections import Counter

from rtl.memory.port import MemoryModel
from sim.calls import CallTracker
from sim.errors import InputError
from sim.oracles import ORACLES
from sim.oracles.oracle import listed
from sim.timeline import Timeline
from sim.watchdog import Watchdog
from sim.waves.reader import read_records, refusing
from sim.waves.seen import read_shown

__all__ = ["report_of_vcd"]

#: What must hold.
_TITLES = {judge.name: judge.title for judge in (*ORACLES, Watchdog)}


def report_of_vcd(path):
    """(``sim.runs.run.Result.to_json``, as far as the waves contain it; the Timeline). Raises InputError.

    ``ending`` is None if the run goes on after the waves. Nothing is judged again: the violations are those in the waves, with the
    calls and cores that their sentences name. Of the oracles only those that are violated are known.
    """
    config, metadata, records = read_records(path)
    if isinstance(metadata.meta, dict) and "litmus" in metadata.meta:
        raise InputError("is of a litmus test, which has no calls", file=path)
    with refusing(path, lambda: None):
        shown = read_shown(path, config)
        timeline, tracker = Timeline(config, metadata.image), _tracker(config, metadata, shown)
        _replay(records, shown.seen, timeline, tracker, metadata.end)
        meta = metadata.meta
        return _report(config, metadata, meta, tracker, _violations(shown.violations)), timeline


def _tracker(config, metadata, shown):
    """A CallTracker for waves. If they begin after the run, it knows which cores are online then. shown : a Shown."""
    tracker = CallTracker.for_image(config, metadata.image)
    if metadata.start:
        tracker.book.set_online(shown.online)
    return tracker


def _replay(records, seen, timeline, tracker, end):
    """Feed the timeline as a run would, in the same order."""
    held: dict[int, tuple] = {}           # core -> (clock since when it looks so, Seen)
    position = 0

    def records_before(clock):
        nonlocal position
        while position < len(records) and records[position].clock < clock:
            tracker.add(records[position])
            timeline.add(records[position], tracker)
            position += 1

    def hold(core, until):
        """It has looked like this in all the clocks since."""
        since, what = held[core]
        if until - since > 1:
            timeline.begun.add(core, what, until - since - 1)

    for clock, core, what in seen:
        records_before(clock)
        if core in held:
            hold(core, clock)
        records_before(clock + 1)
        held[core] = clock, what
        timeline.see(clock, core, what)
    records_before(end)
    for core in held:
        hold(core, end)
    timeline.finish(end)


def _report(config, metadata, meta, tracker, violations):
    return {
        "scenario": meta["scenario"], "title": metadata.comment.partition(": ")[2], "protocol": meta["protocol"],
        "without": meta["without"], "seed": meta["seed"], "memory": MemoryModel(meta["straps"]["memory_model"]).name.lower(),
        "config": {"n_cores": config.n_cores}, "since": metadata.start, "clocks": metadata.end,
        "ending": metadata.ending, "ok": not violations,
        "violations": violations,
        "verdict": f"violated: {', '.join(sorted({item['oracle'] for item in violations}))}" if violations
        else "no violation in the waves",
        "oracles": [{"name": name, "title": _TITLES.get(name), "verdict": "violated", "exercised": count}
                    for name, count in Counter(item["oracle"] for item in violations).items()],
        "unfinished": [], "stalls": [], "messages": tracker.messages.to_json(), "calls": [call.to_json() for call in tracker.calls],
    }


def _violations(told):
    found = []
    for clock, text in told:
        for part in re.split(r"; (?=[A-Z]+[0-9]*: )", text):
            oracle, _, sentence = part.partition(": ")
            found.append({"oracle": oracle, "clock": clock, "sentence": sentence,
                          "calls": list(dict.fromkeys(re.findall(r"\bcall (\d+\.\d+)", sentence))), "cores": listed(sentence)})
    return found
