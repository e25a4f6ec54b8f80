"""The audit of shortcuts: how far probes get that see the debris of a task and not the task."""
