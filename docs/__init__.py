"""The documentation: pages in Markdown, and `docs.site`, which writes the pages that come from code."""
