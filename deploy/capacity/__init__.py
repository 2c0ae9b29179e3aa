"""What a load needs and costs on Google Cloud: `estimate` is the calculation, from `measured` figures and `prices`.

`tables` are those of docs/scaling.md, which `python -m deploy.capacity` writes anew.
"""
