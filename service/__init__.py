"""The DICOM service. Alphabet is order: arrival -> backlog -> contouring -> delivery.

A CT arrives by C-STORE (``arrival``), waits in spool and engine (``backlog``), is segmented and written as an
RT Structure Set (``contouring``) and leaves by C-STORE (``delivery``). The stages meet only in ``backlog``.
"""
