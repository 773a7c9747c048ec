"""Text as examples: conversations, pairs, packing, epochs."""
