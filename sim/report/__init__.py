"""Reports: tables of calls and latencies."""
