"""A browser as a world: actions in three grammars, one list of nodes in four renderings, MiniWoB++."""
