"""What results mean: pure, no clock, no I/O. Time comes in as an argument, in seconds."""
