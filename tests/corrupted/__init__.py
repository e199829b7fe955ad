"""What may go wrong with contours and CT, done on purpose to clean ones, and whether the second look sees it."""
