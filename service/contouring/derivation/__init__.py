"""Structures made of other structures: margins, unions, crops, in millimetres on the CT's grid."""
