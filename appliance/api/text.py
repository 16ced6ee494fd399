"""Names and free text from outside: checked, or made harmless, before anybody uses them."""

import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

FREE_TEXT_MAX = 1024
OBJECT_NAME_MAX = 253
SESSION_PASSWORD_MAX = 80  # TCP_MD5SIG_MAXKEYLEN, in bytes
_SHOWN_MAX = 100
_UNDECODED = re.compile("[\udc80-\udcff]")  # what Python makes of a name's bytes that are no UTF-8 (PEP 383)
_INTERFACE_NAME_MAX = 15

_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_INTERFACE_NAME = re.compile(r"""[!#$&'()*+,\-.0-9;<=>?@A-Z\[\]^_`a-z{|}~]+""")


def shown(text: object) -> str:
    """A value in a sentence about it: text in quotes, everything unprintable escaped, cut where it is long."""
    if isinstance(text, str):
        return repr(text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…")
    written = repr(text)
    return written if len(written) <= _SHOWN_MAX else f"{written[:_SHOWN_MAX]}…"


def is_object_name(text: str) -> bool:
    """Whether a text is an RFC 1123 subdomain, as Kubernetes has it."""
    return len(text) <= OBJECT_NAME_MAX and _OBJECT_NAME.fullmatch(text) is not None


def is_label_value(text: str) -> bool:
    """Whether a text can be a label's value, as Kubernetes has it; the empty one apart."""
    return _LABEL.fullmatch(text) is not None


def is_qualified_name(text: str) -> bool:
    """Whether a text can be a label's key or a class, as Kubernetes has it: a name, perhaps with a domain before it."""
    prefix, slash, name = text.rpartition("/")
    return is_label_value(name) and (not slash or is_object_name(prefix))


def parse_object_name(text: object) -> str:
    """Read the name of an object, an RFC 1123 subdomain; raises ValueError."""
    if isinstance(text, str) and is_object_name(text):
        return text
    raise ValueError(
        f"{shown(text)} is not a name: at most {OBJECT_NAME_MAX} lower-case letters, digits, '-' and '.', "
        "a letter or digit first and last and on both sides of a '.'"
    )


def parse_interface_name(text: object) -> str:
    """Read the name of a network interface, as Linux allows it (dev_valid_name) in ASCII; raises ValueError."""
    is_name = isinstance(text, str) and len(text) <= _INTERFACE_NAME_MAX and _INTERFACE_NAME.fullmatch(text)
    if isinstance(text, str) and is_name and text not in (".", ".."):
        return text
    raise ValueError(f"{shown(text)} is not the name of a network interface")


def _parse_optional_object_name(text: object) -> str:
    return "" if text == "" else parse_object_name(text)


def _parse_optional_interface_name(text: object) -> str:
    return "" if text == "" else parse_interface_name(text)


def is_session_password(text: str) -> bool:
    """Whether a text can be a BGP session's password: as long as a TCP MD5 key may be, and BIRD can be told of it."""
    return 0 < len(text.encode(errors="replace")) <= SESSION_PASSWORD_MAX and not set(text) & set('"\n\r\0')


def _parse_session_password(text: object) -> object:
    if isinstance(text, str) and text and not is_session_password(text):
        raise ValueError(f"a password has at most {SESSION_PASSWORD_MAX} bytes, no double quote and no line end")
    return text


def printable(text: str) -> str:
    """A text of any length as one line that does nothing to a terminal."""
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)


def printable_path(text: str) -> str:
    """A text with names of files in it as such a line; each byte of a name that is no UTF-8 as \\xNN."""
    return printable(text if text.isascii() else _UNDECODED.sub(lambda byte: f"\\x{ord(byte[0]) & 0xFF:02x}", text))


def clean_text(text: object) -> object:
    """A text as one line of at most FREE_TEXT_MAX printable characters; anything that is no text stays as it is."""
    if not isinstance(text, str):
        return text
    cut = text if len(text) <= FREE_TEXT_MAX else f"{text[: FREE_TEXT_MAX - 1]}…"
    return printable(cut)


def _schema(pattern: str, length_max: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "maxLength": length_max, "pattern": f"^{pattern}$"})


_NAME_SCHEMA = _schema(_OBJECT_NAME.pattern, OBJECT_NAME_MAX)
_OPTIONAL_NAME_SCHEMA = _schema(f"({_OBJECT_NAME.pattern})?", OBJECT_NAME_MAX)
_INTERFACE_SCHEMA = _schema(_INTERFACE_NAME.pattern, _INTERFACE_NAME_MAX)
_OPTIONAL_INTERFACE_SCHEMA = _schema(f"({_INTERFACE_NAME.pattern})?", _INTERFACE_NAME_MAX)
_PASSWORD_SCHEMA = WithJsonSchema({"type": "string", "maxLength": SESSION_PASSWORD_MAX})
_TEXT_SCHEMA = WithJsonSchema({"type": "string"})

ObjectName = Annotated[str, BeforeValidator(parse_object_name), _NAME_SCHEMA]
HostName = Annotated[str, BeforeValidator(parse_object_name), _NAME_SCHEMA]
OptionalName = Annotated[str, BeforeValidator(_parse_optional_object_name), _OPTIONAL_NAME_SCHEMA]
InterfaceName = Annotated[str, BeforeValidator(parse_interface_name), _INTERFACE_SCHEMA]
OptionalInterfaceName = Annotated[str, BeforeValidator(_parse_optional_interface_name), _OPTIONAL_INTERFACE_SCHEMA]
SessionPassword = Annotated[str, BeforeValidator(_parse_session_password), _PASSWORD_SCHEMA]
FreeText = Annotated[str, BeforeValidator(clean_text), _TEXT_SCHEMA]
