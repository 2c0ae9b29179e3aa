"""`python -m docs.site`: write the generated pages, and print which of them changed."""

from docs.site.write import write

for path in write():
    print(path)
