"""A mind in parts: modules behind typed ports, each of which can be swapped for another or taken out."""
