"""Similarity of two short texts by shared words.

Each text is a set of stems; stems that few of the texts have count more (the inverse document frequency of Spärck Jones,
A Statistical Interpretation of Term Specificity, 1972), and texts are compared by the cosine of their weights.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

# words that do not name things: grammar; and colour, light and manner, which belong to the painting, not the photograph
_NO_THING = frozenset(
    """
    a about above across air double after against all along among an and another around as at away back be before behind being below
    beneath beside between beyond both by close down each every first for from full go half her his huge in inside into is it
    its last left like line little long many more no not of off old on one onto open or other out outside over own part pass
    past piece right row second set several side single small some such tall than that the their them then there these thin
    this those three through tiny to top toward towards turn turning two under up upon vast very view wide with within
    without giant great large big high low deep far near new young empty whole slow slowly soft softly once
    appear begin bend bring burst carry cast catch circle climb close come cover cross cut disappear drift edge end fade fall fill
    float flow fold form go grow hang hold huge keep lead lean lie look lose make meet middle move number open place pour pull push
    reach rest rise roll row run rush scatter see seen set settle shape show sit spin spread stand start stretch sweep swing take
    tear throw touch travel wait walk wander watch wrap

    amber azure black blue bright brown colour coloured colourful copper crimson cyan dark darkness dim emerald faint glow
    glowing gold golden gray green grey hue indigo ivory lilac light lights lit lime magenta neon orange pale pink purple red
    rose saturated scarlet shine shining silver teal tint turquoise violet vivid warm white yellow acid cold cool

    abstract blur blurred drawing engraving exposure film focus grain monochrome oil painting pastel photo photograph picture
    print render sepia sketch style texture texturing watercolour woodcut
    """.split()  # noqa: SIM905
)
_ENDINGS = ("ings", "ing", "ed", "es", "s")
_NO_PLURAL = ("ss", "us", "is")
_SIBILANTS = ("s", "x", "z", "ch", "sh")
_IRREGULAR = {
    "broken": "break",
    "fallen": "fall",
    "burnt": "burn",
    "leaves": "leaf",
    "wolves": "wolf",
    "teeth": "tooth",
    "skies": "sky",
    "frozen": "freeze",
    "snowy": "snow",
    "misty": "mist",
    "foggy": "mist",
    "fog": "mist",
    "rocky": "rock",
    "stormy": "storm",
    "icy": "ice",
    "starry": "star",
    "smoky": "smoke",
    "sandy": "sand",
    "sunny": "sun",
    "ruined": "ruin",
    "moonlit": "moon",
    "moonlight": "moon",
    "sunlit": "sun",
    "sunlight": "sun",
    "icebergs": "iceberg",
    "ocean": "sea",
    "stony": "stone",
    "glassy": "glass",
    "wooden": "wood",
    "woods": "forest",
}
_VOWEL = re.compile(r"[aeiouy]")


def stem(word: str) -> str:
    """Return the stem of a lower-case English word: common to its plural and its verb forms."""
    if word in _IRREGULAR:
        return _without_e(_IRREGULAR[word])
    if word.endswith(("ies", "ied")) and len(word) > 4:
        return f"{word[:-3]}y"
    for ending in _ENDINGS:
        root = word[: -len(ending)]
        if not word.endswith(ending) or len(root) < 3 or not _VOWEL.search(root):
            continue
        if ending == "s" and word.endswith(_NO_PLURAL):
            continue
        # waves: the e belongs to the word
        if ending == "es" and not root.endswith(_SIBILANTS):
            continue
        if ending not in ("es", "s") and len(root) > 3 and root[-1] == root[-2] and root[-1] not in "lsz":
            root = root[:-1]
        return _without_e(root)
    return _without_e(word)


def things(text: str) -> list[str]:
    """Return the words of a text that name things, in order; grammar, colour, light and manner are left out."""
    words = re.findall(r"[a-z]+", text.lower())
    return [word for word in words if len(word) > 2 and word not in _NO_THING and stem(word) not in _NO_STEMS]


def stems(text: str) -> frozenset[str]:
    """Return the stems of the things that a text names."""
    return frozenset(map(stem, things(text)))


def shared_words(prompt: str, texts: Sequence[str]) -> list[float]:
    """Return for each of several texts how far it shares a prompt's words, 0 (none) to 1 (all, and no others)."""
    sets, weights, lengths = _weighed(tuple(texts))
    asked = stems(prompt)
    # a word in no text has the weight of one in a single text: it lowers the similarity
    rare = math.log(len(sets) + 1)
    length = math.sqrt(sum(weights.get(word, rare) ** 2 for word in asked))
    scores = []
    for words, own in zip(sets, lengths, strict=True):
        shared = sum(weights[word] ** 2 for word in words & asked)
        scores.append(shared / (length * own) if shared else 0.0)
    return scores


def _without_e(root: str) -> str:
    # so that wave, waves and waving have one stem
    return root[:-1] if root.endswith("e") and len(root) > 3 else root


_NO_STEMS = frozenset(map(stem, _NO_THING))


@lru_cache(maxsize=8)
def _weighed(texts: tuple[str, ...]) -> tuple[list[frozenset[str]], dict[str, float], list[float]]:
    """Return the stems of each text, the weight of each stem, and the length of each text's weights."""
    sets = [stems(text) for text in texts]
    counts = Counter(word for words in sets for word in words)
    weights = {word: math.log((len(sets) + 1) / count) for word, count in counts.items()}
    lengths = [math.sqrt(sum(weights[word] ** 2 for word in words)) or 1.0 for words in sets]
    return sets, weights, lengths
