"""The tables and figures of the UHMAN paper, measured here."""
