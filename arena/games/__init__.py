"""The games: one short file each. A game module has `SEATS`, `Params` and `play(table, params)`."""
