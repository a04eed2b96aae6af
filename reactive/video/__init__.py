"""Write the clip: pieces of video, and the whole with its sound."""
