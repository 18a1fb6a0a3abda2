"""The detectors that a recipe asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import phonenumbers

from pakar.errors import RecipeError
from pakar.prepare.personal import birth, contact, identity, network, payment
from pakar.prepare.personal.found import Detector
from pakar.recipe.operators import PersonalType

_WITHOUT_REGION: dict[PersonalType, Callable[[], Detector]] = {
    "email": contact.email,
    "link": contact.link,
    "credit-card": payment.credit_card,
    "iban": payment.iban,
    "crypto-wallet": payment.crypto_wallet,
    "ip-address": network.ip_address,
    "date-of-birth": birth.date_of_birth,
}
_BY_REGION: dict[PersonalType, Callable[[Sequence[str]], Detector | None]] = {
    "phone": contact.phone,
    "national-id": identity.national_id,
}


def detectors(types: Sequence[PersonalType], regions: Sequence[str]) -> list[Detector]:
    """One detector per type; national ids have none when no identity number of the regions is known.

    Raises:
        RecipeError: a region is no country that has telephone numbers.
    """
    unknown = sorted(set(regions) - phonenumbers.SUPPORTED_REGIONS)
    if unknown:
        raise RecipeError(
            f"personal-data: unknown region {unknown[0]!r}, expected ISO 3166 codes such as US, GB and ID",
            next_step="correct `regions` of personal-data in the recipe (the United Kingdom is GB).",
        )
    made = [
        _BY_REGION[kind](regions) if kind in _BY_REGION else _WITHOUT_REGION[kind]() for kind in dict.fromkeys(types)
    ]
    return [detector for detector in made if detector]
