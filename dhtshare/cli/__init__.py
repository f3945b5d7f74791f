"""The command line: one file per verb group, one event feed, two printers."""
