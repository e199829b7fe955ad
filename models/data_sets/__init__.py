"""Data sets: folders of cases that training and evaluation read, a CT with what is drawn on it each."""
