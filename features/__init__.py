"""The pure rooms: use case, events, record, kernel, replay. No IO, no clock, no randomness."""
