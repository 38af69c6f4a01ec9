"""SOP classes and transfer syntaxes by name: what a rule may write instead of a UID.

A name is compared by its letters and digits alone, so "CT Image Storage", "CTImageStorage" and
"ct_image_storage" are one.
"""

from __future__ import annotations

from functools import cache

from router.config.mistakes import suggestion
from router.config.subjects import KeyMistake


def resolve_uid(fact: str, text: str) -> str:
    """Return the UID that text names, for fact sop_class or transfer_syntax. Raises KeyMistake.

    Any well-formed UID is taken as it is: private and future ones are as good.
    """
    from router.standard.uids import is_valid_uid

    if is_valid_uid(text):
        return text
    names = _sop_classes() if fact == "sop_class" else _transfer_syntaxes()
    folded = _fold(text)
    for name, uid in names.items():
        if _fold(name) == folded:
            return uid
    what = "SOP class" if fact == "sop_class" else "transfer syntax"
    raise KeyMistake(f"{text!r} is neither a UID nor the name of a {what}", _hint(text, names))


def _hint(text: str, names: dict[str, str]) -> str:
    hint = suggestion(text, list(names))
    return hint if hint.startswith("did you mean") else "names are those of PS3.6 Annex A"


def _fold(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


@cache
def _sop_classes() -> dict[str, str]:
    from router.standard import sop_classes

    names = {info.keyword: uid for uid, info in sop_classes.SOP_CLASSES.items() if info.keyword}
    return {info.name: uid for uid, info in sop_classes.SOP_CLASSES.items()} | names


@cache
def _transfer_syntaxes() -> dict[str, str]:
    from router.standard import transfer_syntaxes

    known = frozenset(transfer_syntaxes.ALL_TRANSFER_SYNTAXES)
    constants = vars(transfer_syntaxes).items()
    return {name: uid for name, uid in constants if isinstance(uid, str) and uid in known}
