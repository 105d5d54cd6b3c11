"""Traffic: a town and a seed -> SUMO runs -> scene logs, and which of them are worth showing."""
