"""What is learned from the cases of a data set: prepared, sampled, changed by chance."""
