"""A model measured on the cases of a data set: figures, tables, pictures, one report."""
