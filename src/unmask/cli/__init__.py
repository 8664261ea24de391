"""The command line: one thin file per command, and the only room that writes to the terminal."""
