"""The files that stages pass to each other: one reader and one writer each."""
