"""An embedded Pub/Sub server: the real gRPC API, for the real clients, on one machine.

All state lives in memory and ends with the process. It is for development, tests and measurements;
what it does not implement it refuses by name (UNIMPLEMENTED) and never silently ignores.
"""
