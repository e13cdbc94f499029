"""For people: commands, the live screen, the summary, the log."""
