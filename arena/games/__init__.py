"""The games: one short file each. A game module has `SEATS`, `Params` and `play(table, params)`.

It may have `ROLE`, which names the prompt that briefs its players (`debater` otherwise), and `check(question, params)`, which
raises `ValueError` for what cannot be played.
"""
