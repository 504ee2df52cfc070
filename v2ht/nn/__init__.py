"""Blocks that models compose: sparse products, hashtag GCN, sequence encoders, attention pooling, interactions."""
