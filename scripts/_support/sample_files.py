"""Real files of many types for the demo: some of this repository, some made on the spot by well-known libraries."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path

LARGEST = 8_192
"""The demo sends files inline, so the long ones are cut, as a user who knows the model would."""


def sample_files(root: Path) -> dict[str, bytes]:
    """Return content by name: eleven files, the second one short enough for a contract to ask about."""
    files = {
        "README.md": (root / "README.md").read_bytes(),
        "deploy.sh": b"#!/bin/sh\nset -e\nfor net in test foundry; do\n  ape run deploy --network $net\ndone\n",
        "deployment.py": (root / "scripts" / "_support" / "deployment.py").read_bytes(),
        "Vault.sol": (root / "contracts" / "Vault.sol").read_bytes(),
        "manifest.json": json.dumps(
            {"name": "lattice", "versions": [1, 2, 3], "public": True}, indent=2
        ).encode(),
        "pixel.png": png(),
        "archive.zip": archive(),
        "note.txt": b"Dear reader,\n\nthis is a short letter in plain English, so that there is a text to look at.\n",
        "paper.pdf": pdf(),
        "log.gz": gzip.compress(b"2026-11-22T10:00:00 INFO job=1 state=final\n" * 20, mtime=0),
        "jobs.sqlite": database(),
        "page.html": b"<!doctype html><html><head><title>Hi</title></head><body><p>Hello</p></body></html>",
    }
    return {name: content[:LARGEST] for name, content in files.items()}


def png() -> bytes:
    """A PNG image of 16 by 16 pixels, a colour gradient."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(
        b"\0" + bytes(v for x in range(16) for v in (16 * x, 16 * y, 128)) for y in range(16)
    )
    header = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def archive() -> bytes:
    """A ZIP archive of two texts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("a.txt", "b.txt"):
            file.writestr(zipfile.ZipInfo(name), f"this is {name}\n" * 20)
    return buffer.getvalue()


def pdf() -> bytes:
    """A PDF of one page that says hello."""
    text = b"BT /F1 24 Tf 72 720 Td (Hello, chain) Tj ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        len(body),
    )
    return body + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table + trailer


def database() -> bytes:
    """An SQLite database with one table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "jobs.sqlite"
        connection = sqlite3.connect(path)
        with connection:
            connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, state TEXT)")
            connection.executemany("INSERT INTO jobs (state) VALUES (?)", [("seen",), ("final",)])
        connection.close()
        return path.read_bytes()
