"""An embedded Pub/Sub server: the real gRPC API for the real clients, on one machine.

All state is in memory and ends with the process. The server is for development, tests and measurements. A setting that
it does not implement is refused by name (UNIMPLEMENTED), never silently ignored.
"""
