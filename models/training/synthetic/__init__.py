"""What is learned from synthetic CT that is made while the network learns."""
