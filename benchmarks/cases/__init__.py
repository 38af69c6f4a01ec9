"""One module for each question of `benchmarks.all`: what is measured, how, and the bar it is held against.

Each has `NAME`, one word for the command line, and `run(options)`, which returns rows.
"""
