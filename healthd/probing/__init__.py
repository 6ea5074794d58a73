"""One question to one node."""
