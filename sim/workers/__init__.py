"""Workers that do pieces of work side by side: processes of this machine, or a cluster."""
