"""GGM: writing hashtags that nobody used before."""
