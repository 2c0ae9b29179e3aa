"""Writes the golden files anew."""

from tests.features.golden import RECORD, record

if __name__ == "__main__":
    RECORD.write_bytes(record())
