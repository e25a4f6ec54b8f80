"""The libraries that the bank is timed beside, one file each."""
