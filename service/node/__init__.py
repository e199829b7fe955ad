"""The node's processes: a supervisor that starts and restarts them, the worker, and whether all is well.

The supervisor itself loads neither torch nor DICOM nor the database: what needs those runs in a child.
"""
