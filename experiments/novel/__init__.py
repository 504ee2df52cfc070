"""Hashtags that no model was trained on, inserted into the graph and ranked; measured table in README.md."""
