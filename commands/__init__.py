"""The verbs of the command line. What a verb runs is imported inside of it, so that help comes at once."""
