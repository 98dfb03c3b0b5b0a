"""Audit files of several nodes."""

from __future__ import annotations

import datetime
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from anchor.audit import chain
from anchor.audit.checkpoints import Checkpoint, CheckpointInterval, CheckpointKey
from anchor.audit.events import SIGNING, Event
from anchor.audit.file_sink import FileSink
from anchor.audit.heads import Head, path_of

PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
KEY = CheckpointKey(PRIVATE_KEY)

# A record without node names: three events of FileSink(path, KEY, CheckpointInterval(2, 3600)), as
# Anchor wrote them before it had the option audit.node.
RECORD_WITHOUT_NODE = b"""\
{"previous":"0000000000000000000000000000000000000000000000000000000000000000","number":1,"time"\
:"2026-01-01T00:00:00.000+00:00","event":"audit.sign","authority":"default","user":"user0","addr\
ess":"192.0.2.7","request_id":"0123","outcome":"success","reasons":[],"hash":"5e98b6a676e1359a1a\
aa8eea67bae2c4015501fbe0939527129aab930726021a"}
{"previous":"5e98b6a676e1359a1aaa8eea67bae2c4015501fbe0939527129aab930726021a","number":2,"time"\
:"2026-01-01T00:00:00.000+00:00","event":"audit.checkpoint","checkpoint":{"number":1,"hash":"5e9\
8b6a676e1359a1aaa8eea67bae2c4015501fbe0939527129aab930726021a","time":"2026-01-01T00:00:00.000+0\
0:00","key":"fd110d301d2f077de1414b8f99f441b1403fab207b2052fbd2c065e4ee8e7dc2","signature":"bDFj\
cYqFlSy1f7P4sJ4sGmWSJnm5ribjgXsDE3CEU8xyFHeEcR73L9IxGMDeOruuVbifnUZgDA5l/au1KmjTBQ=="},"hash":"e\
f15871603401d99048a2deabba7ff802b4140569ded38e7b28e71ffabf2adb0"}
{"previous":"ef15871603401d99048a2deabba7ff802b4140569ded38e7b28e71ffabf2adb0","number":3,"time"\
:"2026-01-01T00:00:00.000+00:00","event":"audit.sign","authority":"default","user":"user1","addr\
ess":"192.0.2.7","request_id":"0123","outcome":"success","reasons":[],"hash":"cc7c40d0c1bc580dc8\
507e8161ce9d8f4d70c90aab10c9f141818a9cd843137b"}
{"previous":"cc7c40d0c1bc580dc8507e8161ce9d8f4d70c90aab10c9f141818a9cd843137b","number":4,"time"\
:"2026-01-01T00:00:00.000+00:00","event":"audit.sign","authority":"default","user":"user2","addr\
ess":"192.0.2.7","request_id":"0123","outcome":"success","reasons":[],"hash":"46a44c19d3851c8df3\
8776fb202e6476b6b9cf28abe01d6085f88bc9b250a4e3"}
{"previous":"46a44c19d3851c8df38776fb202e6476b6b9cf28abe01d6085f88bc9b250a4e3","number":5,"time"\
:"2026-01-01T00:00:00.000+00:00","event":"audit.checkpoint","checkpoint":{"number":4,"hash":"46a\
44c19d3851c8df38776fb202e6476b6b9cf28abe01d6085f88bc9b250a4e3","time":"2026-01-01T00:00:00.000+0\
0:00","key":"fd110d301d2f077de1414b8f99f441b1403fab207b2052fbd2c065e4ee8e7dc2","signature":"zxjT\
YwmeunSOx+CPHmg/3LhSs3wA7L3Egj/AAOKWMhCqON5aLhU3gMmtP3Q4Cd4bLFt0Rj4dGQHCB6e6me8lCA=="},"hash":"6\
263cb2cfd1bf32e183696c89e8a6c98bfe2e6f606636ddc6cd0c259de775c9b"}
"""


def write_record_without_node(path):
    """Write a record of the time before nodes had names."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(RECORD_WITHOUT_NODE)


def write_head_without_node(path):
    """Write the head file of that record, as Anchor wrote it then."""
    last, status = json.loads(lines_of(path)[-1]), path.stat()
    marked_at = datetime.datetime.now(datetime.UTC).timestamp()
    head = Head(last["number"], last["hash"], status.st_ino, status.st_size, 5, marked_at)
    fields = {name: value for name, value in vars(head).items() if name != "node"}
    path_of(path).write_text(json.dumps(fields))


def event(user="alice", **details):
    moment = datetime.datetime.now(datetime.UTC)
    return Event(SIGNING, moment, "default", user, "192.0.2.7", "0123", (), details)


def write_record(path, node, events=10, key=KEY, every=4):
    """Append events to the record of a node; a checkpoint after every few lines."""
    path.parent.mkdir(exist_ok=True)
    sink = FileSink(path, key, CheckpointInterval(every, 3600), node)
    for number in range(events):
        sink.record(event(f"{node}-user{number}"))


def lines_of(path):
    return path.read_bytes().splitlines(keepends=True)


def cut(path, lines):
    """Remove this many lines from the end of a file."""
    path.write_bytes(b"".join(lines_of(path)[:-lines]))


def checkpoints_of(path):
    """The checkpoints in a record, as a log contains them."""
    fields = [json.loads(line) for line in lines_of(path)]
    found = [entry["checkpoint"] for entry in fields if "checkpoint" in entry]
    return [json.dumps({"checkpoint": checkpoint}) for checkpoint in found]


def copies_of(path):
    """The checkpoints in a record."""
    return [Checkpoint.of(json.loads(line)["checkpoint"]) for line in checkpoints_of(path)]


def rewrite(path, change):
    """Change the fields of each line and compute the hashes again, as an attacker could."""
    link, written = chain.GENESIS, []
    for line in lines_of(path):
        entry = json.loads(line)
        for name in ("previous", "number", "hash"):
            del entry[name]
        change(entry)
        changed, link = chain.encode_line(entry, link)
        written.append(changed)
    path.write_bytes(b"".join(written))


def public_pem(key=PRIVATE_KEY):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
