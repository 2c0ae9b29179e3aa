"""HTTP around the routes: connections, middleware, problems, checks of each request, the OpenAPI document."""

__all__ = [
    "audited",
    "browsers",
    "connections",
    "formats",
    "guard",
    "middleware",
    "openapi",
    "pages",
    "problems",
]
