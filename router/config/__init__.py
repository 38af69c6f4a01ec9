"""The configuration: one table of settings, all errors at once, what a reload may change. Floor 4.

`schema.py`, `peers.py` and `tls_settings.py` hold every setting once, with type, unit, default, range, reload
class and one sentence (declared by `section.py`).
`load.py` turns TOML text into a `Config`, or into every mistake at once, each with its key and a hint
(`mistakes.py`); `cross_checks.py` adds what no single setting shows.
`when.py`, with `subjects.py` and `uid_names.py`, reads the `when` table of a rule into the tree of
`conditions.py`; `router.routing` compiles that.
`describe.py` lists the settings, `reference.py` writes the commented example from that list.
`reload.py` says what a changed file may change in a running router; `sources.py` finds the `[sources]` entry
of a sender.
"""
