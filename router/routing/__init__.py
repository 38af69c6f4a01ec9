"""Which destinations an instance goes to: attributes, rules, decision; pure. Floor 5.
"""
