"""Cloud Storage, Dataflow and Secret Manager on one local port: what a launch talks to, so that it can be tested whole.

In memory, over the services' own REST interfaces, for their own clients. Nothing is executed: a job only has states.
"""
