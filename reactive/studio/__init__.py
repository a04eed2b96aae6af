"""The studio: a page for everything from a song to a finished clip; a project is a folder."""
