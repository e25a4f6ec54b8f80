"""The task bank: what a task is, thirty tasks in three families, and those of the user."""
