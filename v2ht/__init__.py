"""Hashtag recommendation for short videos: V2HT and its relatives."""

__version__ = "0.1.0"
