"""What a run costs before it runs: jobs, hours, memory and disk, from measured rates."""
