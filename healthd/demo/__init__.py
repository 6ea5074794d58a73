"""A real fleet on loopback: what `healthd demo` shows, and what the tests and benchmarks use."""
