"""Recorded results once more, with other parameters: what would have differed."""
