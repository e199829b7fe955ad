"""A hospital's export becomes a data set: what belongs together, what the ROIs are called, what is wrong.

::

    export_files   every file below a folder: CT series, structure sets, NIfTI, the rest
    set_pairing    which structure set was drawn on which CT
    roi_names      which TG-263 structure a name stands for
    roi_drawing    the contours of an ROI as a mask, or why not
    dicom_case, nifti_case
                   one CT with what is drawn on it
    patients       pseudonyms and parts
    remarks, import_report
                   everything a person must know, in one report
    import_run     all of it in order

Nothing is guessed and nothing is dropped in silence: what is not taken has a remark that says why.
"""
