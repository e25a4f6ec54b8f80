"""Where a task of the user's own belongs, told by pairs of its inputs and outputs."""
