"""The streaming program: events in, assessments out."""
