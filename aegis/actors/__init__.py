"""Who they are: Feed, Brain, Gate, Executor, Reconciler, Scribe. `aegis.topology` shows them in flow order."""
