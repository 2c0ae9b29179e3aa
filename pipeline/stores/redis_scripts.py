"""Lua scripts that Redis runs, each on one group of keys at once.

Of a record they know its magic and its seq, whose places come from `features.record`; Lua counts bytes from 1.
"""

from hashlib import sha1

from features.record import MAGIC, SEQ

EXPIRY_DIGITS = 16  # enough for 300,000 years
SIGN, ENDS = MAGIC.decode(), len(MAGIC)
HEAD = SEQ.stop  # bytes up to the end of the seq

# KEYS: the records. ARGV: when each expires (ms, EXPIRY_DIGITS characters; empty: none does), all expected seqs
# (8 bytes each), then the new records. SET takes away the expiry that a key had.
# Seqs are compared as bytes: a Lua number is a double and would be wrong above 2^53.
# A value of another type has no seq: it is left alone, and the others of the group are written.
COMMIT = f"""
local answer, none = {{}}, string.rep('\\0', 8)
for i, key in ipairs(KEYS) do
  local seq = redis.pcall('GETRANGE', key, '{SEQ.start}', '{HEAD - 1}')
  if type(seq) == 'table' and not string.find(seq.err, 'WRONGTYPE', 1, true) then return seq end
  if seq == '' then seq = none end
  if seq == string.sub(ARGV[2], 8 * i - 7, 8 * i) then
    local expiry = tonumber(string.sub(ARGV[1], {EXPIRY_DIGITS} * i - {EXPIRY_DIGITS - 1}, {EXPIRY_DIGITS} * i)) or 0
    if expiry > 0 then
      redis.call('PSETEX', key, expiry, ARGV[i + 2])
    else
      redis.call('SET', key, ARGV[i + 2])
    end
    answer[i] = '1'
  else
    answer[i] = '0'
  end
end
return table.concat(answer)
"""
COMMIT_SHA = sha1(COMMIT.encode(), usedforsecurity=False).hexdigest()

SEQS = f"""
local answer = {{}}
for i, key in ipairs(KEYS) do
  local head = redis.pcall('GETRANGE', key, '0', '{HEAD - 1}')
  if type(head) == 'table' and not string.find(head.err, 'WRONGTYPE', 1, true) then return head end
  local is_record = type(head) == 'string' and string.len(head) == {HEAD} and string.sub(head, 1, {ENDS}) == '{SIGN}'
  if is_record then
    answer[i] = string.sub(head, {SEQ.start + 1}, {HEAD})
  elseif redis.call('EXISTS', key) == 0 then
    answer[i] = ''
  else
    answer[i] = string.rep('\\255', 8)
  end
end
return answer
"""  # of records: '' where there is none, the highest where something else lies under the key

OTHER_TYPES = """
local answer = {}
for i, key in ipairs(KEYS) do
  local byte = redis.pcall('GETRANGE', key, '0', '0')
  if type(byte) == 'table' and not string.find(byte.err, 'WRONGTYPE', 1, true) then return byte end
  answer[i] = type(byte) == 'table'
end
return answer
"""
