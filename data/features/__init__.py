"""Features of clips: decoding, extractors, the feature store."""
