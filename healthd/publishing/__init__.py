"""What users download: one pure renderer per format, and the publisher that flips them together."""
