"""Planning at decision time: several answers, or parts of answers, and what to make of them."""
