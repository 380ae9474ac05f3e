"""Workloads from outside: tests and benchmarks of the kernel, as scenarios."""
