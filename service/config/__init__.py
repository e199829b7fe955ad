"""The administrator's file: what it may say (``site``) and how it is read (``reader``)."""
