"""The microcoded core: microword, sequencer and datapath."""
