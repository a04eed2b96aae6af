"""The studio: one page for the whole way from a song to a finished clip, over a project that is a folder."""
