"""The local stack: everything the program talks to, on free ports of one machine, from Python packages alone."""
