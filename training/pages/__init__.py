"""Self-contained HTML pages: their look, plots as SVG, and the pages of segments, drift and realised figures."""

__all__ = ["drift_page", "html", "realised_page", "segments_page", "svg"]
