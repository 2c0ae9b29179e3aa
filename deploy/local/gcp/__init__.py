"""Cloud Storage, Dataflow and Secret Manager on one local port, so that a whole launch can be tested.

They speak the REST interfaces of the services with the real clients, and keep everything in memory. Nothing is
executed: a job only has states.
"""
