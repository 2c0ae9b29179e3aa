"""Needs and costs of a load on Google Cloud: `estimate` calculates them from `measured` figures and `prices`.

`tables` are those of docs/scaling.md, which `python -m deploy.capacity` writes anew.
"""
