"""What a batch should have been answered, and how wrong an answer is."""
