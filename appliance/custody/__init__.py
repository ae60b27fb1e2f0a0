"""The only holder of keys: it composes what it signs, and signs nothing that it is handed."""
