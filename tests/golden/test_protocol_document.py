"""docs/protocol.md says what the code says: it is generated, and the committed file is up to date."""

from __future__ import annotations

from dhtshare.transfer import messages
from scripts.protocol_doc import TARGET, Chapter, document


def test_the_committed_document_is_up_to_date() -> None:
    assert TARGET.read_text(encoding="utf-8") == document(), "run scripts/protocol-doc and commit docs/protocol.md"


def test_every_message_of_the_transfer_is_in_it_with_its_fields() -> None:
    text = "\n".join(Chapter(messages).lines())
    for number, kind in messages.KINDS.items():
        assert f"**{number} {kind.__name__}.**" in text
        for field in kind.FIELDS:
            assert f"| {field.key} | {field.name} |" in text


def test_limits_stand_with_their_reasons() -> None:
    text = "\n".join(Chapter(messages).lines())
    assert f"| `MAX_HEADER_BYTES` | {messages.MAX_HEADER_BYTES:,} |" in text
    assert "| `DESCRIPTOR_RANGE_BYTES` | 65,536 | A descriptor travels in ranges of this size" in text
