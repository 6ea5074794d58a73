"""The store: one SQLite file in the state directory. Probing and publishing never depend on it."""
