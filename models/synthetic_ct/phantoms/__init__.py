"""A procedural patient: solids in millimetres, joined to organs, painted on the slices of a grid."""
