"""What survives: the journal of everything that mattered, and how a run is taken up again from it."""
