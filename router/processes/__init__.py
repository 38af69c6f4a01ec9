"""The router as processes: supervisor, acceptors, workers and admin. Floor 7."""
