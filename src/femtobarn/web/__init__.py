"""Pages for shifters: server-rendered, read-only, usable by keyboard and without scripts (extra ``web``)."""
