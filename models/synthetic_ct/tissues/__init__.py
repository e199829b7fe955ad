"""Tissue maps, seen in new bodies and painted as CT numbers."""
