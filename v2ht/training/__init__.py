"""Training, ranking of whole splits, and their evaluation."""
