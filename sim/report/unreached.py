"""Which microwords of a protocol no shipped scenario reaches: ``python -m sim.report.unreached [PROTOCOL]`` (``make unreached``).

A word is reached when a core has begun it (``sim.begun``).

Words are known by the line that they come from (and the macro calls on the way there), because their addresses depend on the number
of cores. Scenarios that refuse a protocol count as not run.
"""

import argparse
import json
import sys
from collections import Counter
from functools import cache

from sim.begun import Begun
from sim.engines.spec import EngineSpec
from sim.errors import InputError, MissingToolError
from sim.microcode.listing import disassemble, place_of
from sim.microcode.protocols import shipped_protocols
from sim.runs.prepare import prepare
from sim.scenarios.reader import shipped_scenarios
from sim.texts import count

__all__ = ["main", "unreached", "words_of"]


def words_of(image):
    """Identity of each word of an image -> (address, Line): the place, and which of the words of that place it is."""
    seen, words = Counter(), {}
    for address, line in sorted(image.lines.items()):
        place = place_of(line)
        words[place, seen[place]] = address, line
        seen[place] += 1
    return words


@cache
def _engine(config):
    return EngineSpec(config).make(tell=lambda line: print(f"crosscall: {line}", file=sys.stderr))


def unreached(protocol, scenarios=None, assignments=()):
    """The report about a protocol, as plain data.

    scenarios : names or files; the shipped ones if None.  assignments : as of ``sim.runs.prepare.prepare``.
    Raises InputError if none of the scenarios can be run with it, MissingToolError.
    """
    words, reached, ran, refused = {}, set(), [], {}
    for scenario in shipped_scenarios() if scenarios is None else scenarios:
        try:
            prepared = prepare(scenario, protocol=protocol, assignments=assignments)
        except InputError as error:
            refused[scenario] = error
            continue
        config, here = prepared.settings.config, words_of(prepared.image)
        begun = Begun(config, prepared.image)
        _engine(config).run(prepared.job, sink=begun, probe=True)
        for word, (address, line) in here.items():
            words.setdefault(word, (line, prepared.image.label(address), disassemble(address, prepared.image)))
            if begun.counts[address]:
                reached.add(word)
        ran.append(scenario)
    if not ran:
        raise next(iter(refused.values()), InputError("there is no scenario to run"))
    return {
        "protocol": protocol, "words": len(words), "reached": len(reached), "scenarios": ran,
        "refused": {name: str(error) for name, error in refused.items()},
        "unreached": [{"place": word[0], "label": label, "word": text, "line": line.text}
                      for word, (line, label, text) in words.items() if word not in reached],
    }


def _print(found):
    print(f"{found['protocol']}: {found['reached']} of {count(found['words'], 'word')} reached by "
          f"{count(len(found['scenarios']), 'scenario')}")
    if found["refused"]:
        print(f"  not for this protocol: {', '.join(found['refused'])}")
    for item in found["unreached"]:
        print(f"  {item['label'] or '':<28} {item['word']:<40} ; {item['place']}: {item['line']}")


def main(arguments=None):
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m sim.report.unreached", description=__doc__.partition(":")[0] + ".")
    parser.add_argument("protocol", nargs="*", help="shipped names or .uasm files; all shipped ones by default")
    parser.add_argument("--scenario", action="append", help="only this one, or your own file; may be repeated")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as for `crosscall run`; may be repeated")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    chosen = parser.parse_args(arguments)
    try:
        found = [unreached(name, chosen.scenario, chosen.set) for name in chosen.protocol or shipped_protocols()]
    except (InputError, MissingToolError) as error:
        print(f"crosscall: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 3
    if chosen.json:
        print(json.dumps({"protocols": found}, indent=2))
    else:
        for each in found:
            _print(each)
    return 0


if __name__ == "__main__":
    sys.exit(main())
