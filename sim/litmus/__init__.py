"""Litmus tests: herd's format for x86 read, enumerated under a memory model, and run on the machine."""
