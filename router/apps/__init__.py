"""What runs from the command line: one module a command. Floor 8."""
