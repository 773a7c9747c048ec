"""Named systems made of the parts below."""
