"""The tables and figures of the V2HT paper, measured here."""
