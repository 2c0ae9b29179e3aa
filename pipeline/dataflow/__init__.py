"""The streaming job on Google Cloud Dataflow: what it is told, what is looked at first, submitting, updating, ending.

The graph is that of every other runner; here is only what Dataflow wants to know besides.
"""
