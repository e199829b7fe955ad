"""Retrospective runs: CT pulled from an archive, one after the other, while the node does its daily work."""
