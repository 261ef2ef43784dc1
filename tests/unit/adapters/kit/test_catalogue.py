"""What a ministry's catalogue may say of the documents that a dossier gives."""

from pathlib import Path

import pytest

from adapters.kit.catalogue import Catalogue
from bj.common.v1 import document_pb2
from rpc.settings import SettingsError

SERVICE = """
[[service]]
code = "PS90901"
fr = "Permis de conduire"
en = "Driving licence"
prefix = "PERM"
fee_xof = 0
documents = ["%s"]
"""


def load(directory: Path, document: str) -> Catalogue:
    """A catalogue whose one service gives ``document``."""
    path = directory / "catalogue.toml"
    path.write_text(SERVICE % document, encoding="utf-8")
    return Catalogue.load(path)


def test_a_ministry_whose_documents_have_no_type_names_them_other(tmp_path: Path) -> None:
    """Nobody need change the shared protos to sign a document of a new kind."""
    found = load(tmp_path, "OTHER")

    assert found["PS90901"].documents == (document_pb2.DOCUMENT_TYPE_OTHER,)


@pytest.mark.parametrize("name", ["DRIVING_LICENCE", "UNSPECIFIED", ""])
def test_a_type_that_is_none_is_refused_with_those_that_there_are(tmp_path: Path, name: str) -> None:
    """Whoever writes a catalogue need not open the protos to learn them."""
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, name)

    assert "TITLE_STATE" in str(refused.value)
    assert "OTHER" in str(refused.value)
    assert "UNSPECIFIED, " not in str(refused.value)
