"""Tables of transfer between tasks."""
