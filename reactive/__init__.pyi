"""The public names of `reactive`, for editors and type checkers; `__init__.py` imports each where it is first used."""

from reactive.audio.analysis import Analysis as Analysis
from reactive.audio.analysis import analyze as analyze
from reactive.audio.grid import grid_of as grid_of
from reactive.diffusion.models.load import load_model as load_model
from reactive.diffusion.models.model import Model as Model
from reactive.diffusion.scene import MovingSource as MovingSource
from reactive.errors import ReactiveError as ReactiveError
from reactive.media.sound import Track as Track
from reactive.media.sound import open_track as open_track
from reactive.preset.library import get_preset as get_preset
from reactive.preset.schema import Preset as Preset
from reactive.preset.schema import load_preset as load_preset
from reactive.render.decide import decide as decide
from reactive.render.export import ExportOptions as ExportOptions
from reactive.render.export import export_clip as export_clip
from reactive.render.imagine import Frames as Frames
from reactive.render.imagine import imagine as imagine
from reactive.render.run import make_clip as make_clip
from reactive.render.settings import Settings as Settings
from reactive.render.write import write_video as write_video
from reactive.score.flash import score_flashes as score_flashes
from reactive.score.sync import score_clip as score_clip
from reactive.timeline.file import load_timeline as load_timeline
from reactive.timeline.file import save_timeline as save_timeline
from reactive.timeline.timeline import Timeline as Timeline
from reactive.timeline.timeline import build_timeline as build_timeline

__version__: str
