"""ANDF's services in the national catalogue, by the method that gives each."""

from __future__ import annotations

from typing import Final

from adapters.reasons import InvalidFieldsError
from bj.common.v1 import dossier_pb2

# Invented: the code of the état descriptif is not published.
TITLE_STATE: Final = "PS90201"
TRANSFER: Final = "PS01427"
TITLE_REQUEST: Final = "PS00124"


def require_service(application: dossier_pb2.Application, code: str) -> None:
    """Return if the application is for the service that the method gives; raises ``InvalidFieldsError``."""
    if application.service_code != code:
        raise InvalidFieldsError({"application.service_code": f"must be {code} for this method"})
