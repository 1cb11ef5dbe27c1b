"""Finds the encoding of text by its first bytes, and says how sure that is.

A mark at the beginning decides. Without one, text in which nearly every second byte is zero is UTF-16 or UTF-32; what
is valid UTF-8 is UTF-8, which other text hardly ever is by chance; the rest is one of the one-byte encodings of the
Western world. Which of these cannot be proved by bytes: the runner-up says what else it could be, and a person may say.

Source: https://encoding.spec.whatwg.org/ takes Windows-1252 for Latin-1 as well, whose bytes 80 to 9F mean nothing in text.
"""

import codecs
import re
from dataclasses import dataclass

UTF8_MARK = codecs.BOM_UTF8
#: The longer marks first: that of UTF-32 begins as that of UTF-16 does.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE_BYTES = 4_096
_MANY_ZEROS, _FEW_ZEROS = 0.7, 0.1
#: So large a part of what is not ASCII must be valid UTF-8, in a text that is damaged here and there. In text of other
#: encodings hardly any is: there one letter that is not ASCII rarely follows another, and never in these pairs.
_SOME = 0.1
#: Bytes that Windows-1252 leaves undefined.
_NOT_IN_CP1252 = bytes((0x81, 0x8D, 0x8F, 0x90, 0x9D))
_C1 = bytes(range(0x80, 0xA0))
_BEYOND_ASCII, _NO_CHARACTERS = re.compile("[^\x00-\x7f]"), re.compile("[\udc80-\udcff]")
_ASCII_ONLY, _PROVED, _DAMAGED, _ONE_BYTE = 0.9, 1.0, 0.8, 0.6


@dataclass(frozen=True, slots=True)
class Encoding:
    """What was found: a codec's name, the confidence in 0..1, and what it could be instead, or None.

    `is_open` says that the bytes seen are ASCII alone, so that later ones may still decide.
    """

    name: str
    confidence: float
    runner_up: str | None = None
    is_open: bool = False


def find_encoding(head: bytes, *, complete: bool) -> Encoding:
    """The encoding of the text that begins with `head`; `complete` says that this is all of it."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return Encoding(name, _PROVED)
    wide = _find_wide(head[:_SAMPLE_BYTES])
    if wide is not None:
        return wide
    if head.isascii():
        return Encoding("utf-8", _ASCII_ONLY, is_open=not complete)
    good, bad = _count_sequences(head, complete=complete)
    if not bad:
        return Encoding("utf-8", _PROVED)
    if good >= _SOME * (good + bad):
        return Encoding("utf-8", _DAMAGED, "cp1252")
    if any(byte in _NOT_IN_CP1252 for byte in head):
        return Encoding("latin-1", _ONE_BYTE, "cp1250")
    return Encoding("cp1252", _ONE_BYTE, "latin-1" if any(byte in _C1 for byte in head) else "cp1250")


def _find_wide(sample: bytes) -> Encoding | None:
    """UTF-32 or UTF-16 without a mark: in text of the Western world most high bytes are zero, and no low ones."""
    if len(sample) < 8 or 0 not in sample:
        return None
    zeros = [sample[offset::4].count(0) / len(sample[offset::4]) for offset in range(4)]
    if min(zeros[1:]) > _MANY_ZEROS and zeros[0] < _FEW_ZEROS:
        return Encoding("utf-32-le", _DAMAGED)
    if min(zeros[:3]) > _MANY_ZEROS and zeros[3] < _FEW_ZEROS:
        return Encoding("utf-32-be", _DAMAGED)
    if min(zeros[1], zeros[3]) > _MANY_ZEROS and max(zeros[0], zeros[2]) < _FEW_ZEROS:
        return Encoding("utf-16-le", _DAMAGED)
    if min(zeros[0], zeros[2]) > _MANY_ZEROS and max(zeros[1], zeros[3]) < _FEW_ZEROS:
        return Encoding("utf-16-be", _DAMAGED)
    return None


def _count_sequences(head: bytes, *, complete: bool) -> tuple[int, int]:
    """Characters beyond ASCII that are valid UTF-8, and places that are not. A character cut off at the end counts as neither."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    text = decoder.decode(head, final=complete)
    bad = len(_NO_CHARACTERS.findall(text))
    return len(_BEYOND_ASCII.findall(text)) - bad, bad
