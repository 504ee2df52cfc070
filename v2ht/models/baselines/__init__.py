"""Published hashtag recommenders that others are compared with, one a file."""
