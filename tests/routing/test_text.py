"""Text is decoded by its character set; nothing raises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.routing.text import _ESCAPES, codec_of, decode_text


@pytest.mark.parametrize(
    ("character_sets", "raw", "text"),
    [
        ((), b"Doe^John", "Doe^John"),
        (("",), b"Gr\xfc\xdfe", "Grüße"),
        (("ISO_IR 100",), b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
        (("ISO_IR 101",), b"\xb3\xf3d\xbc", "łódź"),
        (("ISO_IR 144",), b"\xbb\xee\xda", "Люк"),
        (("ISO_IR 126",), b"\xc4\xe9\xef\xed", "Διον"),
        (("ISO_IR 192",), "王^小東".encode(), "王^小東"),
        (("GB18030",), "王小东".encode("gb18030"), "王小东"),
        (("GBK",), "王小东".encode("gbk"), "王小东"),
        (("ISO_IR 13",), b"\xd4\xcf\xc0\xde", "ﾔﾏﾀﾞ"),
        (("ISO 2022 IR 6", "ISO 2022 IR 100"), b"A\x1b-A\xfc", "Aü"),
        (("", "ISO 2022 IR 87"), b"Yamada=\x1b$B;3ED\x1b(B", "Yamada=山田"),
        (("", "ISO 2022 IR 149"), b"Hong=\x1b$)C\xfb\xf3", "Hong=洪"),
        (("", "ISO 2022 IR 58"), b"Zhang=\x1b$)A\xd5\xc5", "Zhang=张"),
        (("ISO 2022 IR 100", "ISO 2022 IR 144"), b"\xe9\x1b-L\xbb", "éЛ"),
    ],
)
def test_character_sets(character_sets: tuple[str, ...], raw: bytes, text: str) -> None:
    assert decode_text(raw, codec_of(character_sets)) == text


def test_what_is_not_valid_is_read_as_latin_1() -> None:
    assert decode_text(b"Gr\xfc\xdfe", codec_of(("ISO_IR 192",))) == "Grüße"
    assert codec_of(("ISO_IR 999",)) == "latin-1"


@given(
    st.sampled_from(["", "ISO_IR 13", "ISO_IR 127", "ISO_IR 166", "ISO_IR 192", "GB18030", "\x00\x1b"]),
    st.lists(st.one_of(st.binary(max_size=8), st.sampled_from(list(_ESCAPES))), max_size=6),
)
def test_nothing_raises(character_set: str, parts: list[bytes]) -> None:
    assert isinstance(decode_text(b"".join(parts), codec_of((character_set,))), str)
