"""The last receipt of each content, and who waits for the next one."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from dhtshare.dht.records.receipts import Receipt, ReceiptTally


class ReceiptBook:
    """Receipts by content hash. Whoever asks for one that is not there waits until it is, or the content is gone."""

    def __init__(self) -> None:
        self._receipts: dict[bytes, Receipt] = {}
        self._waiting: dict[bytes, list[asyncio.Future[Receipt]]] = defaultdict(list)

    def all(self) -> dict[bytes, Receipt]:
        """The last receipt of each content that has one."""
        return self._receipts

    async def get(self, content_hash: bytes) -> Receipt:
        """The receipt, or the next one."""
        known = self._receipts.get(content_hash)
        if known is not None:
            return known
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._waiting[content_hash].append(future)
        return await future

    def put(self, content_hash: bytes, receipt: Receipt, *, whole: bool, verified: int) -> None:
        """An announcement is done, of all of a content's records or of some. `verified`: of all, keys found again.

        A renewal of a part does not stand for all of them. What fails together is tried again together, so the parts
        that were not renewed have their quorum.
        """
        known = self._receipts.get(content_hash)
        self._receipts[content_hash] = receipt if whole or known is None else known.renewed(receipt, verified)
        self._tell(content_hash, receipt)

    def shared_anew(self, content_hash: bytes) -> None:
        """What was said of it counts no more; who waits goes on."""
        self._receipts.pop(content_hash, None)

    def taken_back(self, content_hash: bytes) -> None:
        """There will be no receipt: who waits gets one of nothing."""
        self._receipts.pop(content_hash, None)
        self._tell(content_hash, ReceiptTally().receipt(0.0))

    def _tell(self, content_hash: bytes, receipt: Receipt) -> None:
        for future in self._waiting.pop(content_hash, ()):
            if not future.done():
                future.set_result(receipt)
