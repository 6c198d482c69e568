"""The key that tokens of others are checked with, as it is written in the configuration.

Read only where there is one: what it imports takes a while.
"""

from collections.abc import Iterable, Mapping

import jwt
from jwt.algorithms import AllowedPublicKeys

VerifyingKey = AllowedPublicKeys | bytes


def verifying_keys(written: str, algorithms: Iterable[str]) -> Mapping[str, VerifyingKey]:
    """What each of the algorithms needs, of those that this key is for.

    Raises:
        ValueError: it is for none of them, or too weak; says so without the key.
    """
    found: dict[str, VerifyingKey] = {}
    wrong = "is no key for the algorithms; write a public key in PEM, or for HS* the secret"
    for name in algorithms:
        algorithm = jwt.get_algorithm_by_name(name)
        try:
            key = algorithm.prepare_key(written)
        except Exception:  # noqa: BLE001, S112 - whatever is found in it: it is no key for this # nosec B112
            continue
        if hasattr(key, "private_bytes"):
            wrong = "is a private key, which nobody but the issuer should have; write the public one"
        elif algorithm.check_key_length(key):
            wrong = "is too weak: RSA needs 2048 bits, and a secret as many bytes as the HS* says bits, divided by 8"
        else:
            found[name] = key
    if not found:
        raise ValueError(wrong)
    return found
