"""Records between batches: the port `RecordStore`, in memory and in Redis, and checks that nothing got lost."""

__all__ = [
    "advanced_records",
    "connect",
    "guard",
    "guarded_store",
    "health",
    "integrity",
    "overwrite",
    "population",
    "readiness",
    "redis_client",
    "redis_store",
    "round_trip",
    "settings",
    "store",
]
