"""Networks and classical segmentation: knows volumes in patient millimetres, no DICOM, no patient."""
