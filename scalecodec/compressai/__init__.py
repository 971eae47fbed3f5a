"""The drop-in under CompressAI."""
