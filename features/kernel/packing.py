"""Numbers and columns of the ring as bytes: narrow where the same bits come back, else wide.

Every column begins at a multiple of 8 bytes. A flag in the header says whether it is `wide`.
"""

import numpy as np

from features.kernel.jit import compiled

HUNDREDTHS = 100.0  # money has two decimals: such a column packs into int32
NAN_HUNDREDTHS = -(2**31)


@compiled
def pad(length):
    """Return the least multiple of 8 that is not below `length`."""
    return (length + 7) & ~7


@compiled
def copy(source, target):
    """Set target[:] = source, converting types; the two must not overlap."""
    for i in range(len(target)):
        target[i] = source[i]


@compiled
def fill(target, number):
    """Set target[:] = number."""
    for i in range(len(target)):
        target[i] = number


@compiled
def get_i64(buffer, offset):
    """Return the int64 at `at`."""
    return np.int64(buffer[offset : offset + 8].view(np.int64)[0])


@compiled
def set_i64(buffer, offset, number):
    """Write a number at `at`."""
    buffer[offset : offset + 8].view(np.int64)[0] = number


@compiled
def get_u32(buffer, offset):
    """Return the uint32 at `at`."""
    return np.int64(buffer[offset : offset + 4].view(np.uint32)[0])


@compiled
def set_u32(buffer, offset, number):
    """Write a number at `at`."""
    buffer[offset : offset + 4].view(np.uint32)[0] = number


@compiled
def get_u16(buffer, offset):
    """Return the uint16 at `at`."""
    return np.int64(buffer[offset : offset + 2].view(np.uint16)[0])


@compiled
def set_u16(buffer, offset, number):
    """Write a number at `at`."""
    buffer[offset : offset + 2].view(np.uint16)[0] = number


@compiled
def pack_times(times, buffer, offset, wide):
    """Write the first time, then the distance of each to it: low 32 bits of all, then high 16 (wide: 32)."""
    n = len(times)
    set_i64(buffer, offset, times[0] if n else 0)
    low = buffer[offset + 8 : offset + 8 + 4 * n].view(np.uint32)
    offset += 8 + pad(4 * n)
    high = buffer[offset : offset + 4 * n].view(np.uint16)
    for i in range(n):
        distance = np.uint64(times[i] - times[0])
        low[i] = np.uint32(distance & np.uint64(0xFFFFFFFF))
        top = distance >> np.uint64(32)
        if wide:
            high[2 * i] = np.uint16(top & np.uint64(0xFFFF))
            high[2 * i + 1] = np.uint16(top >> np.uint64(16))
        else:
            high[i] = np.uint16(top)
    return offset + pad((4 if wide else 2) * n)


@compiled
def unpack_times(times, buffer, offset, wide):
    """Read what `pack_times` wrote."""
    n = len(times)
    first = get_i64(buffer, offset)
    low = buffer[offset + 8 : offset + 8 + 4 * n].view(np.uint32)
    offset += 8 + pad(4 * n)
    step = 2 if wide else 1
    high = buffer[offset : offset + 2 * step * n].view(np.uint16)
    for i in range(n):
        top = np.uint64(high[step * i])
        if wide:
            top |= np.uint64(high[2 * i + 1]) << np.uint64(16)
        times[i] = first + np.int64((top << np.uint64(32)) | np.uint64(low[i]))
    return offset + pad(2 * step * n)


@compiled
def is_hundredths(column):
    """Return whether every value comes back, bit for bit, from hundredths in an int32; NaN does."""
    for value in column:
        if np.isnan(value):
            continue
        if not abs(value) < 2e7:
            return False
        if np.rint(value * HUNDREDTHS) / HUNDREDTHS != value or (value == 0 and np.signbit(value)):
            return False
    return True


@compiled
def pack_values(column, buffer, offset, wide):
    """Write values as hundredths in int32, or wide as float64."""
    n = len(column)
    if wide:
        copy(column, buffer[offset : offset + 8 * n].view(np.float64))
        return offset + 8 * n
    narrow = buffer[offset : offset + 4 * n].view(np.int32)
    for i in range(n):
        narrow[i] = NAN_HUNDREDTHS if np.isnan(column[i]) else np.int32(np.rint(column[i] * HUNDREDTHS))
    return offset + pad(4 * n)


@compiled
def unpack_values(column, buffer, offset, wide):
    """Read what `pack_values` wrote."""
    n = len(column)
    if wide:
        copy(buffer[offset : offset + 8 * n].view(np.float64), column)
        return offset + 8 * n
    narrow = buffer[offset : offset + 4 * n].view(np.int32)
    for i in range(n):
        column[i] = np.nan if narrow[i] == NAN_HUNDREDTHS else narrow[i] / HUNDREDTHS
    return offset + pad(4 * n)


@compiled
def pack_ages(seqs, last, buffer, offset, wide):
    """Write how far each seq lies behind the last, in 16 or, wide, 32 bits."""
    n = len(seqs)
    ages = buffer[offset : offset + 4 * n].view(np.uint16)
    for i in range(n):
        age = np.uint64(last - seqs[i])
        if wide:
            ages[2 * i] = np.uint16(age & np.uint64(0xFFFF))
            ages[2 * i + 1] = np.uint16(age >> np.uint64(16))
        else:
            ages[i] = np.uint16(age)
    return offset + pad((4 if wide else 2) * n)


@compiled
def unpack_ages(seqs, last, buffer, offset, wide):
    """Read what `pack_ages` wrote."""
    n = len(seqs)
    step = 2 if wide else 1
    ages = buffer[offset : offset + 2 * step * n].view(np.uint16)
    for i in range(n):
        age = np.int64(ages[step * i])
        if wide:
            age |= np.int64(ages[2 * i + 1]) << 16
        seqs[i] = last - age
    return offset + pad(2 * step * n)
