"""Voxels become contours: CT series, segmentation, RT Structure Set."""
