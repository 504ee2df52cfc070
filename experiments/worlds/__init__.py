"""The paper's order on a made-up world, and its control; measured table in README.md."""
