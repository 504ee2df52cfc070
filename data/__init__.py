"""Records, importers, cleaning, vocabularies, splits and made-up worlds. Imports nothing else of this project."""
