"""Which command makes which table. Nothing imports this package."""
