"""Downloads that can be trusted: resumed, verified, polite."""
