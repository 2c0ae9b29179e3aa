"""Writing over what was read, whatever it was: for repair, where what lies under a key need not be a record."""

from collections.abc import Sequence
from hashlib import sha1
from itertools import chain

from pipeline.stores.redis_store import RedisStore
from pipeline.stores.round_trip import Command, Rows, pick

# KEYS: what to write. ARGV: for each key the SHA-1 of the value that was read (empty: none, or not a text), when the
# new one expires (ms; 0: never), and the new value (empty: none, the key is deleted).
REPLACE = """
local answer = {}
for i, key in ipairs(KEYS) do
  local value, seen = redis.pcall('GET', key), ''
  if type(value) == 'string' then seen = redis.sha1hex(value) end
  answer[i] = 0
  if seen == ARGV[3 * i - 2] then
    if ARGV[3 * i] == '' then
      redis.call('DEL', key)
    elseif ARGV[3 * i - 1] == '0' then
      redis.call('SET', key, ARGV[3 * i])
    else
      redis.call('SET', key, ARGV[3 * i], 'PX', ARGV[3 * i - 1])
    end
    answer[i] = 1
  end
end
return answer
"""


def replace(
    store: RedisStore,
    keys: Sequence[bytes],
    seen: Sequence[bytes | None],
    values: Sequence[bytes | None],
    expiry_ms: int,
) -> list[bool]:
    """Write values[i] over keys[i] (None: delete it) if it is still what was `seen`; says which were written.

    A `seen` of None or b"" is a key without a value, or with one that is not a text. Raises StoreUnavailable.
    """
    expiry = b"%d" % expiry_ms
    parts = [[_digest(was), expiry, value or b""] for was, value in zip(seen, values, strict=True)]

    def command(rows: Rows) -> Command:
        return [
            "EVAL",
            REPLACE,
            len(pick(keys, rows)),
            *pick(keys, rows),
            *chain.from_iterable(pick(parts, rows)),
        ]

    return [bool(written) for written in store.exchange(keys, command)]


def _digest(value: bytes | None) -> bytes:
    return sha1(value, usedforsecurity=False).hexdigest().encode() if value else b""
