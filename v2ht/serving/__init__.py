"""A trained run at work: recommendations for posts that are in no dataset."""
