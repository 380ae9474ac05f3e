"""Everything that is not hardware: assembler, scenarios, engines, events, oracles, waves, reports and the command line."""
