"""Four tables of real posts through the whole chain; measured tables in README.md."""
