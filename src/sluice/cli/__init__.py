"""The command line: one file per command, arguments in, printed lines out."""
