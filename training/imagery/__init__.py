"""How the library of photographs that ships was chosen, cropped and written."""
