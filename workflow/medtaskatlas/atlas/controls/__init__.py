"""Controls: checks that would fail if the measurement were wrong."""
