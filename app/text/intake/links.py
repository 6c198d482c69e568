"""Addresses as they are said: by their domain."""

from typing import Final

import regex

_LETTERS: Final = r"\p{Latin}\p{Greek}\p{Cyrillic}\p{Hebrew}\p{Arabic}\p{Devanagari}\p{M}"
_HOST: Final = rf"[0-9{_LETTERS}](?:[.\-]?[0-9{_LETTERS}])*+"
# Scripts without blanks end an address: what follows it is text.
_URL: Final = regex.compile(
    rf"(?<![0-9A-Za-z_.@\-])(?:(?:https?|ftp)://(?:[^\s/?#@<>\"]{{1,256}}+@)?(?:www\.)?|www\.(?=[^\s.]{{1,63}}\.))({_HOST})"
    rf"(?::[0-9]++)?(?:[/?#][[!-~{_LETTERS}]--[\"<>`]]*+)?+",
    regex.VERSION1 | regex.IGNORECASE,
)
_CLOSING: Final = ".,;:!?)]}'*_"
_FRONT: Final = regex.compile(r"^(?:[a-z]{2,8}:)?(?://)?(?:www\.)?", regex.IGNORECASE)


def by_domain(text: str) -> str:
    """The text with "example.com" for "https://www.example.com/page?id=1". Linear."""
    if "://" not in text and "www." not in text.lower():
        return text
    return _URL.sub(_domain, text)


def _domain(url: "regex.Match[str]") -> str:
    whole = url.group()
    return str(url[1]) + whole[max(len(whole.rstrip(_CLOSING)), url.end(1) - url.start()) :]


def domain_of(text: str, target: str) -> str:
    """What to say for a link whose text is the address that it leads to; "" where its text is anything else."""
    link = _URL.match(target)
    said = _FRONT.sub("", text.strip())
    if link is None or not said or any(character.isspace() for character in said):
        return ""
    host = str(link[1])
    begins = said[: len(host)].lower() == host.lower()
    return host if begins and said[len(host) : len(host) + 1] in ("", "/", "?", "#", ":") else ""
