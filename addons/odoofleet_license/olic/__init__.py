"""What a licence code is, and what follows from it: nothing in here knows Odoo, a file's place or the time.

docs/licence-format.md is the reference. Runs on Python 3.7 and later, with the standard library alone.
"""
