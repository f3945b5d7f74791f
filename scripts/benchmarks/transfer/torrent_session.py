"""One libtorrent session as a process: reads commands as JSON lines, answers with one line each."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import libtorrent as lt

LISTEN = "127.0.0.1:0"


def settings() -> dict[str, Any]:
    """The fast seed's preset, and nothing on the wire but TCP between those who are told of each other."""
    chosen: dict[str, Any] = lt.high_performance_seed()
    chosen.update(
        listen_interfaces=LISTEN,
        enable_outgoing_utp=False,
        enable_incoming_utp=False,
        enable_dht=False,
        enable_lsd=False,
        enable_upnp=False,
        enable_natpmp=False,
        allow_multiple_connections_per_ip=True,
        out_enc_policy=2,  # never
        in_enc_policy=2,
        max_out_request_queue=3000,
        max_allowed_in_request_queue=3000,
        max_queued_disk_bytes=64 << 20,
        send_buffer_watermark=8 << 20,
        hashing_threads=2,
        aio_threads=4,
        alert_mask=lt.alert.category_t.status_notification
        | lt.alert.category_t.error_notification
        | lt.alert.category_t.storage_notification,
    )
    return chosen


class Session:
    """What one process does for the benchmark."""

    def __init__(self) -> None:
        self._session = lt.session(settings())

    def create(self, source: str, torrent: str, piece: int, version: str) -> dict[str, Any]:
        """Hash the source into a torrent file."""
        path = Path(source)
        files = lt.file_storage()
        lt.add_files(files, source)
        flags = lt.create_torrent.v2_only if version == "v2" else lt.create_torrent.v1_only
        made = lt.create_torrent(files, piece, flags)
        lt.set_piece_hashes(made, str(path.parent))
        Path(torrent).write_bytes(lt.bencode(made.generate()))
        return {}

    def seed(self, torrent: str, folder: str) -> dict[str, Any]:
        """Serve it; believes that the files are right."""
        params = self._params(torrent, folder)
        params.flags |= lt.torrent_flags.seed_mode
        self._session.add_torrent(params)
        self._until(lt.torrent_checked_alert)
        return {"port": self._session.listen_port()}

    def fetch(self, torrent: str, folder: str, ports: list[int], in_place: bool) -> dict[str, Any]:
        """Fetch, flush, fsync, rename; the clock runs from adding the torrent to the folder's fsync."""
        where = Path(folder)
        params = self._params(torrent, str(where / "part"))
        name, final = params.ti.name(), where / "final"
        (where / "part").mkdir(parents=True, exist_ok=True)
        if in_place:
            if final.exists():
                final.rename(where / "part" / name)
            else:
                _spoiled_copy(Path(torrent).parent / name, where / "part" / name)
            params.have_pieces = [False] * params.ti.num_pieces()
            params.flags |= lt.torrent_flags.no_verify_files
        self._session.pop_alerts()
        begun = time.perf_counter()
        handle = self._session.add_torrent(params)
        for port in ports:
            handle.connect_peer(("127.0.0.1", port))
        self._until(lt.torrent_finished_alert)
        handle.flush_cache()
        self._until(lt.cache_flushed_alert)
        _sync(where / "part" / name)
        (where / "part" / name).rename(final)
        _sync_one(where)
        seconds = time.perf_counter() - begun
        downloaded = handle.status().total_payload_download
        self._session.remove_torrent(handle)
        self._until(lt.torrent_removed_alert)
        if downloaded < _content_bytes(params.ti.files()):
            raise AssertionError(f"only {downloaded} bytes were fetched: the rest was believed to be there")
        if not in_place:
            shutil.rmtree(where)
        return {"seconds": seconds}

    def _params(self, torrent: str, folder: str) -> Any:
        params = lt.add_torrent_params()
        params.ti = lt.torrent_info(torrent)
        params.save_path = folder
        params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
        return params

    def _until(self, kind: type) -> None:
        while True:
            self._session.wait_for_alert(1000)
            alerts = self._session.pop_alerts()
            for alert in alerts:
                if alert.category() & lt.alert.category_t.error_notification:
                    print(alert, file=sys.stderr)
            if any(isinstance(alert, kind) for alert in alerts):
                return


def _content_bytes(files: Any) -> int:
    """Without the padding between files."""
    pad = lt.file_flags_t.flag_pad_file
    return sum(files.file_size(number) for number in range(files.num_files()) if not files.file_flags(number) & pad)


def _spoiled_copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    with target.open("r+b") as file:
        file.write(bytes(1 << 20))


def _sync(path: Path) -> None:
    for folder, _, names in os.walk(path):
        for name in names:
            _sync_one(Path(folder) / name)
    _sync_one(path)


def _sync_one(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def main() -> None:
    session = Session()
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(getattr(session, command.pop("do"))(**command)), flush=True)


if __name__ == "__main__":
    main()
