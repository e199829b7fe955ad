"""A hospital's export becomes a data set: what belongs together, what the ROIs are called, what is wrong.

::

    export_files          every file below a folder: CT series, structure sets, NIfTI, the rest
    set_pairing           which structure set was drawn on which CT
    name_files, roi_names which TG-263 structure a name stands for
    roi_drawing           the contours of an ROI as a mask, or why not
    case_drawing          each structure of a CT once, or not at all
    dicom_case            a CT series with its structure sets
    nifti_files, nifti_image, nifti_case
                          an image with masks or a label map
    drawn_cts, patients   every CT that something is drawn on, whose it is, and pseudonyms
    remarks, import_report
                          everything a person must know, in one report
    import_run, progress_journal
                          all of it in order, and again after a kill

Nothing is guessed and nothing is dropped in silence: what is not taken has a remark that says why.
"""
