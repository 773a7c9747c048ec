"""Harbour: a shop, a forum and classifieds of our own, in one database of an episode's own."""
