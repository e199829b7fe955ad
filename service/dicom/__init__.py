"""DICOM geometry and readers that every stage may use."""
