"""Label maps that somebody drew, completed to tissue maps of whole patients."""
