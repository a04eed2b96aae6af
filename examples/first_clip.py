# %% [markdown]
# # From a song to a clip
#
# Four steps: **hear** the song, **decide** every frame, **imagine** the frames, **write** them with the song's sound.

# %%
from pathlib import Path

import matplotlib.pyplot as plt

import reactive

# the song that ships with reactive; put your own here
song = Path(reactive.__file__).parent / "data" / "first-light.ogg"

# %% [markdown]
# ## Hear

# %%
track = reactive.open_track(song)
analysis = reactive.analyze(track)
print(f"{track.duration:.1f} s, {analysis.tempo:.1f} beats a minute in {analysis.metre}, {analysis.key}")
for section in analysis.sections:
    print(f"{section.start:6.1f} to {section.end:6.1f} s  {section.label}")

# %% [markdown]
# ## Decide
#
# A preset says what the music shall do to the pictures. The timeline that it decides has one row a frame, in plain arrays
# that can be drawn, changed and saved.

# %%
timeline = reactive.decide(analysis, "loop-destroy", fps=24, seed=7)
figure, axes = plt.subplots(figsize=(10, 2.5))
for name in ("hit", "detail", "strength"):
    axes.plot(timeline.columns[name][:240], label=name)
axes.set(xlabel="frame")
axes.legend()

# %% [markdown]
# ## Imagine and write
#
# Frames are made while they are written, so memory does not grow with the song. Leave `duration` out for all of it.

# %%
frames = reactive.imagine(timeline, reactive.load_model("ember"), size=(384, 216), start=4, duration=0.5)
clip = reactive.write_video(frames, "first-clip.mp4", sound=track)
print(clip, "is written")
