"""The page of a run: from the same plain data as the table and ``--json``, and from its Timeline."""

from sim.calls import Stage
from sim.latency import latency_stack
from sim.microcode.listing import disassemble, place_of
from sim.stages import COLOURS, MEANINGS
from sim.texts import count

from .legend import legend
from .page import escape, table, write_page
from .story import INTRODUCTION, in_short, story
from .table import call_columns, verdict_text

__all__ = ["story_lines", "write_run_page"]

#: At most this many violated oracles are explained, each once.
_STORIES = 4
#: At most this many pauses of cores are drawn.
_MOST_PAUSES = 2000


def write_run_page(path, report, timeline):
    """Write it. report : from ``sim.runs.run.Result.to_json``, or from ``sim.report.vcd.report_of_vcd``, with its own ``verdict``,
    ``since`` the first clock of its waves. timeline : a finished Timeline. Raises InputError or MissingToolError."""
    calls = {call["id"]: call for call in report["calls"]}
    stories = [(item, story(item, timeline, calls), in_short(item, calls))
               for item in _first_of_each(report["violations"])[:_STORIES]]
    traffic = timeline.traffic.to_json()
    data = {
        "report": {name: report[name] for name in ("scenario", "clocks", "calls", "violations", "messages")},
        "timeline": _timeline(report, timeline, stories[0][1] if stories else []),
        "traffic": traffic, "stacks": [latency_stack(call) for call in report["calls"]],
        "calls": _calls(report["calls"], report["ending"]), "tables": [_oracles(report), _words(timeline)],
    }
    write_page(path, f"{report['scenario']}: {report['title']}", "\n".join(_body(report, timeline, stories, traffic)), data)


def _first_of_each(violations):
    first = {}
    for item in violations:
        first.setdefault(item["oracle"], item)
    return list(first.values())


# --- text -----------------------------------------------------------------------------------------------------------


def _body(report, timeline, stories, traffic):
    without = f" without {', '.join(report['without'])}" if report["without"] else ""
    yield f"<h1>{escape(report['scenario'])}: {escape(report['title'])}</h1>"
    yield (f'<p class="dim">protocol {escape(report["protocol"])}{escape(without)}, {count(report["config"]["n_cores"], "core")}, '
           f'memory {escape(report["memory"])}, seed {report["seed"]}, {_clocks(report)}</p>')
    titles = {item["name"]: item["title"] for item in report["oracles"]}
    yield _verdict(report, titles)
    if stories:
        yield "<h2>What went wrong</h2>"
        yield f"<p>{INTRODUCTION} Everything below happened in this one run.</p>"
    for number, (item, steps, short) in enumerate(stories):
        yield from story_lines(item, steps, titles.get(item["oracle"]), short, numbered=number == 0)
    if report["unfinished"]:
        yield f"<details><summary>Calls that are not over: {len(report['unfinished'])}</summary><ul>"
        for sentence in (*report["unfinished"][:8], *(stall["sentence"] for stall in report["stalls"][:8])):
            yield f"<li>{escape(sentence)}</li>"
        yield "</ul></details>"
    yield ('<h2>Timeline</h2><p class="dim">One lane for each core. Drag to move, turn the wheel to zoom; a double click or '
           '<button id="whole">show all</button> shows everything again. Solid arrows are interrupts, from the sender to each '
           "target; dotted ones are requests that needed none."
           f"{' A line above a lane: the schedule holds the core.' if timeline.pauses else ''}</p>")
    yield '<div id="timeline"></div><div id="tip"></div>'
    yield from legend({span.stage for span in timeline.spans})
    yield '<h2>Calls</h2><div id="calls"></div>'
    yield ('<h2>Where the clocks of each call go</h2><p class="dim">Each clock from the call to its return belongs to the stage '
           'that was reached last: by the caller, or by the target that it waited for. <span id="stacks-note"></span></p>'
           '<div id="stacks"></div>')
    if sum(call["latency"] is not None for call in report["calls"]) > 1:
        yield '<h2>Latency over all calls</h2><div id="distribution"></div>'
    yield '<h2>Interrupts</h2><div class="tiles" id="interrupts">' + "".join(
        f'<div data-name="{name}"><b>{count}</b>{words}</div>' for name, words, count in _interrupts(report, traffic)) + "</div>"
    operations = ", ".join(f"{count} {kind}" for kind, count in traffic["operations"].items())
    yield f'<h2>Contention</h2><p class="dim">From the first call on: {escape(operations)} operations on the shared memory.</p>'
    yield '<div class="two"><div><h3>Locks</h3><div id="locks"></div></div><div><h3>Words</h3><div id="words"></div></div></div>'
    yield '<h2>What was judged</h2><div id="oracles"></div>'
    yield '<h2>The microcode</h2><div id="microcode"></div>'


def _clocks(report):
    if report.get("since") or report["ending"] is None:
        before = "; calls that began before are not known" if report["since"] else ""
        after = "; what happens later is not known" if report["ending"] is None else ""
        return f"clocks {report['since']} to {report['clocks']} of a run{before}{after}"
    return count(report["clocks"], "clock")


def _verdict(report, titles):
    head, colon, rest = (report.get("verdict") or verdict_text(report)).partition(":")
    broken = "; ".join(titles.get(item["oracle"]) or item["sentence"] for item in _first_of_each(report["violations"]))
    return (f'<p class="verdict{"" if report["ok"] else " bad"}" id="verdict"><b>{escape(head + colon)}</b>{escape(rest)}'
            + (f". What must hold, and did not: {escape(broken)}" if broken else "")
            + (". This run is there to show it" if broken and report.get("as_expected") else "") + ".</p>")


def story_lines(item, steps, title, short, *, numbered):
    """A violation and its steps. title : what must hold, or None.  short : its ``in_short``.  numbered : number the steps, like the
    marks in a timeline."""
    yield (f"<p>What must hold ({escape(item['oracle'])}): {escape(title or 'it is not known')}.<br>"
           f"What happened: {escape(item['sentence'])}. {escape(short)} Step by step:</p>")
    told, lines = False, []
    for number, step in enumerate(steps, 1):
        if step["after"] and not told:
            told = True
            lines.append(_violated(item))
        where = " · ".join(filter(None, (step["label"], step["source"])))
        code = f" <code>{escape(step['text'])}</code>" if step["text"] else ""
        lines.append(f'<li class="{"after" if step["after"] else ""}" data-clock="{step["clock"]}">'
                     f"<span>{number if numbered else ''}</span><span>clock {step['clock']}</span><span>core {step['core']}</span>"
                     f"<span>{escape(step['sentence'])}<small>{escape(where)}{code}</small></span></li>")
    if not told:
        lines.append(_violated(item))
    yield f'<ol class="steps">{"".join(lines)}</ol>'


def _violated(item):
    return (f'<li class="violation"><span>!</span><span>clock {item["clock"]}</span><span>{escape(item["oracle"])}</span>'
            f"<span>{escape(item['sentence'])}</span></li>")


def _interrupts(report, traffic):
    yield "sent", "sent for calls", traffic["interrupts"]["sent"]
    yield "saved", "saved: the queue was not empty", traffic["interrupts"]["saved"]
    words = {"sent": "messages sent in all", "delivered": "delivered", "merged": "merged with one that was pending",
             "refused": "refused", "nobody": "reached no core", "unaccepted": "not accepted"}
    for name, number in report["messages"].items():
        yield f"messages-{name}", words[name], number


# --- drawings -------------------------------------------------------------------------------------------------------


def _timeline(report, timeline, steps):
    """The Timeline in columns, which compress well."""
    stages = list(COLOURS)
    number = {stage: index for index, stage in enumerate(stages)}
    ids = [call["id"] for call in report["calls"]]
    index_of = {name: index for index, name in enumerate(ids)}
    spans = sorted(timeline.spans, key=lambda span: span.start)
    clocks = timeline.clocks
    begun = [call["stages"]["call"] for call in report["calls"]]
    first = min([*begun, *(span.start for span in spans)], default=0)
    last = max((span.end for span in spans), default=clocks)
    room = max(10, (last - first) // 40)
    return {
        "n_cores": timeline.config.n_cores, "clocks": clocks, "first": max(0, first - room), "last": min(clocks + 20, last + room),
        "stages": [stage.text for stage in stages], "colours": [COLOURS[stage] for stage in stages],
        "meanings": [MEANINGS[stage] for stage in stages], "calls": ids,
        "spans": {"core": [span.core for span in spans], "start": [span.start for span in spans],
                  "end": [span.end for span in spans], "stage": [number[span.stage] for span in spans],
                  "call": [index_of.get(span.call) for span in spans]},
        "held": [[pause.core, pause.start, pause.end] for pause in _shown_pauses(timeline)],
        "sent": [[sent.clock, sent.source, clock, target] for sent in timeline.sent if sent.call
                 for target, clock in sent.delivered.items()],
        "unsent": list(_unsent(report["calls"])), "steps": steps,
        "violations": [{"clock": item["clock"], "oracle": item["oracle"], "sentence": item["sentence"]}
                       for item in _first_of_each(report["violations"])],
    }


def _shown_pauses(timeline):
    """Those that are long enough to be seen; of many, the longest."""
    return sorted(sorted(timeline.pauses, key=lambda pause: pause.start - pause.end)[:_MOST_PAUSES], key=lambda pause: pause.start)


def _unsent(calls):
    """[clock, caller, clock, target] of each request that needed no interrupt."""
    for call in calls:
        for target, visit in call["per_target"].items():
            if visit[Stage.IPI.text] is None and None not in (visit[Stage.NOIPI.text], visit[Stage.HANDLE.text]):
                yield [visit[Stage.NOIPI.text], call["caller"], visit[Stage.HANDLE.text], int(target)]


def _calls(calls, ending):
    """The columns of the table on the terminal, but each of them a number that can be sorted."""
    columns, rows = call_columns(calls, ending)
    return table("calls", "calls", columns, rows, "`at` is the clock of the call, all others are clocks after it: of several "
                 "targets the last one's. Click a row to see the call in the timeline.")


def _oracles(report):
    return table("oracles", "oracles", ("oracle", "verdict", "times", "what must hold"),
                 [(item["name"], item["verdict"], item["exercised"], item["title"]) for item in report["oracles"]])


def _words(timeline):
    image, counts = timeline.image, timeline.begun.counts
    return table("microcode", "microcode", ("address", "times", "label", "word", "source", "text"),
                 [(f"{address:03x}", counts[address], image.label(address), disassemble(address, image), place_of(line),
                   line.text.strip()) for address, line in sorted(image.lines.items())],
                 "`times`: how often all cores together have begun the word.")
