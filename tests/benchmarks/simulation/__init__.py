"""Many workers simulated in one process: the job's `assess` and its owners of records, on servers in virtual time."""
