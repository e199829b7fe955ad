"""The HTTP process: whether the node is alive and ready, metrics, and the API for programs and pages.

It reads the ledger and lets people change jobs by the same operations as the command line. Nobody is let in
without an account; every look at a patient's CT and every change is written into the audit trail.
"""
