"""What a person may set: typed, frozen, torch-free."""
