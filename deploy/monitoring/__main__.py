"""`python -m deploy.monitoring`: writes the files anew."""

from deploy.monitoring.write import write

for path in write():
    print(path)
