"""Multi-task systems: several targets learned from the same images, and how well that went."""
