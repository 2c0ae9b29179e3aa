"""Columns of the ring as bytes: narrower forms where they give the same bits back.

Every column starts at a multiple of 8 bytes; the caller says by a flag in the header which form it took.
"""

import numpy as np

from features.kernel.jit import compiled

HUNDREDTHS = 100.0  # money has two decimals: such a column packs into int32
NAN_HUNDREDTHS = -(2**31)


@compiled
def pad(length):
    """The next multiple of 8."""
    return (length + 7) & ~7


@compiled
def copy(source, target):
    """target[:] = source, converting; for memory that does not overlap."""
    for i in range(len(target)):
        target[i] = source[i]


@compiled
def fill(target, number):
    """target[:] = number."""
    for i in range(len(target)):
        target[i] = number


@compiled
def get_i64(buffer, at):
    """The int64 at `at`."""
    return np.int64(buffer[at : at + 8].view(np.int64)[0])


@compiled
def set_i64(buffer, at, number):
    """Write `number` at `at`."""
    buffer[at : at + 8].view(np.int64)[0] = number


@compiled
def get_u32(buffer, at):
    """The uint32 at `at`."""
    return np.int64(buffer[at : at + 4].view(np.uint32)[0])


@compiled
def set_u32(buffer, at, number):
    """Write `number` at `at`."""
    buffer[at : at + 4].view(np.uint32)[0] = number


@compiled
def get_u16(buffer, at):
    """The uint16 at `at`."""
    return np.int64(buffer[at : at + 2].view(np.uint16)[0])


@compiled
def set_u16(buffer, at, number):
    """Write `number` at `at`."""
    buffer[at : at + 2].view(np.uint16)[0] = number


@compiled
def pack_times(times, buffer, at, wide):
    """First time whole, then each one's distance to it, low 32 bits and high 16 (or 32) bits apart."""
    n = len(times)
    set_i64(buffer, at, times[0] if n else 0)
    low = buffer[at + 8 : at + 8 + 4 * n].view(np.uint32)
    at += 8 + pad(4 * n)
    high = buffer[at : at + 4 * n].view(np.uint16)
    for i in range(n):
        distance = np.uint64(times[i] - times[0])
        low[i] = np.uint32(distance & np.uint64(0xFFFFFFFF))
        top = distance >> np.uint64(32)
        if wide:
            high[2 * i] = np.uint16(top & np.uint64(0xFFFF))
            high[2 * i + 1] = np.uint16(top >> np.uint64(16))
        else:
            high[i] = np.uint16(top)
    return at + pad((4 if wide else 2) * n)


@compiled
def unpack_times(times, buffer, at, wide):
    n = len(times)
    first = get_i64(buffer, at)
    low = buffer[at + 8 : at + 8 + 4 * n].view(np.uint32)
    at += 8 + pad(4 * n)
    step = 2 if wide else 1
    high = buffer[at : at + 2 * step * n].view(np.uint16)
    for i in range(n):
        top = np.uint64(high[step * i])
        if wide:
            top |= np.uint64(high[2 * i + 1]) << np.uint64(16)
        times[i] = first + np.int64((top << np.uint64(32)) | np.uint64(low[i]))
    return at + pad(2 * step * n)


@compiled
def is_hundredths(column):
    """Whether every value is a whole number of hundredths that int32 holds, bit for bit (NaN is fine)."""
    for value in column:
        if np.isnan(value):
            continue
        if not abs(value) < 2e7:
            return False
        if np.rint(value * HUNDREDTHS) / HUNDREDTHS != value or (value == 0 and np.signbit(value)):
            return False
    return True


@compiled
def pack_values(column, buffer, at, wide):
    n = len(column)
    if wide:
        copy(column, buffer[at : at + 8 * n].view(np.float64))
        return at + 8 * n
    narrow = buffer[at : at + 4 * n].view(np.int32)
    for i in range(n):
        narrow[i] = NAN_HUNDREDTHS if np.isnan(column[i]) else np.int32(np.rint(column[i] * HUNDREDTHS))
    return at + pad(4 * n)


@compiled
def unpack_values(column, buffer, at, wide):
    n = len(column)
    if wide:
        copy(buffer[at : at + 8 * n].view(np.float64), column)
        return at + 8 * n
    narrow = buffer[at : at + 4 * n].view(np.int32)
    for i in range(n):
        column[i] = np.nan if narrow[i] == NAN_HUNDREDTHS else narrow[i] / HUNDREDTHS
    return at + pad(4 * n)


@compiled
def pack_ages(seqs, last, buffer, at, wide):
    n = len(seqs)
    ages = buffer[at : at + 4 * n].view(np.uint16)
    for i in range(n):
        age = np.uint64(last - seqs[i])
        if wide:
            ages[2 * i] = np.uint16(age & np.uint64(0xFFFF))
            ages[2 * i + 1] = np.uint16(age >> np.uint64(16))
        else:
            ages[i] = np.uint16(age)
    return at + pad((4 if wide else 2) * n)


@compiled
def unpack_ages(seqs, last, buffer, at, wide):
    n = len(seqs)
    step = 2 if wide else 1
    ages = buffer[at : at + 2 * step * n].view(np.uint16)
    for i in range(n):
        age = np.int64(ages[step * i])
        if wide:
            age |= np.int64(ages[2 * i + 1]) << 16
        seqs[i] = last - age
    return at + pad(2 * step * n)
