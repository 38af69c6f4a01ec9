"""Which destinations an instance goes to: attributes, rules, decision; pure. Floor 5.

`attributes.py` reads the elements that the rules want from the encoded dataset, in place; `text.py` decodes
them; `wanted.py` lists them.
`match.py` compiles the condition tree of `router.config.conditions` to closures, `pattern.py` the
patterns in it; `rules.py` makes a `RuleSet`
of a list of rules; `decide.py` answers for one instance and remembers answers; `explain.py` says why.
No input or output, no clock; every input is bounded in length and matched in linear time.
"""
