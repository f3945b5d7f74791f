"""This machine's disk: the catalogue of what is shared and the unfinished files. No network here."""
