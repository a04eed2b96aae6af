"""Read the description in a photograph's file: XMP, IPTC or EXIF."""

from __future__ import annotations

import os
import re
from xml.etree import ElementTree

from PIL import ExifTags, Image, ImageFile, IptcImagePlugin

from reactive.media.picture import opened
from reactive.media.safe import plain

# texts that cameras write into the field by default
_SAYS_NOTHING = re.compile(
    r"^\W*(olympus digital camera|sony dsc|samsung|kodak|dcim|default|screenshot|created with .*)?\W*$"
)
_DC = "{http://purl.org/dc/elements/1.1/}"
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
# bytes of an untrusted packet that are read at most
_LARGEST = 1_000_000
_LONGEST = 500


def read_description(path: str | os.PathLike[str]) -> str:
    """Return the description in a photograph's file, of at most 500 characters; empty if there is none.

    XMP's ``dc:description`` and ``dc:title`` come first, then IPTC's caption (2:120), then EXIF's ImageDescription.

    Raises
    ------
    MediaError
        If it is not a picture of a known format.
    """
    with opened(path) as image:
        for found in (_xmp(image), _iptc(image), _exif(image)):
            text = plain(" ".join(found.split()))[:_LONGEST].strip()
            if not _SAYS_NOTHING.match(text.lower()):
                return text
    return ""


def _xmp(image: Image.Image) -> str:
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    packet = packet.encode() if isinstance(packet, str) else packet
    # a document type may define entities that grow without end
    if not packet or len(packet) > _LARGEST or b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        return ""
    try:
        root = ElementTree.fromstring(packet.strip(b"\0 \r\n"))
    except (ElementTree.ParseError, ValueError):
        return ""
    for name in ("description", "title"):
        for element in root.iter(f"{_DC}{name}"):
            said = [item.text for item in element.iter(f"{_RDF}li") if item.text] or [element.text or ""]
            if said[0].strip():
                return said[0]
    return ""


def _iptc(image: Image.Image) -> str:
    if not isinstance(image, ImageFile.ImageFile):
        return ""
    try:
        fields = IptcImagePlugin.getiptcinfo(image) or {}
    except (OSError, SyntaxError, ValueError, KeyError, IndexError, TypeError):
        return ""
    value = fields.get((2, 120), b"")
    value = value[0] if isinstance(value, list) else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _exif(image: Image.Image) -> str:
    value = image.getexif().get(ExifTags.Base.ImageDescription, "")
    return value if isinstance(value, str) else ""
