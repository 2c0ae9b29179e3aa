"""Cloud Storage: buckets and objects, uploads in one go or in parts, downloads of ranges, lists, copies.

Versions of an object are not kept; its generation counts up, so that writers with a condition are refused.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import google_crc32c

from deploy.local.gcp.web import CODES, Answer, Refused, Request, Route, as_json


@dataclass(frozen=True)
class Stored:
    """An object."""

    data: bytes
    generation: int
    content_type: str
    updated: str


@dataclass
class Upload:
    """One that is under way."""

    bucket: str
    name: str
    query: dict[str, str]
    content_type: str
    data: bytearray = field(default_factory=bytearray)


class Storage:
    """All buckets."""

    def __init__(self) -> None:
        self.buckets: dict[str, dict[str, Stored]] = {}
        self._uploads: dict[str, Upload] = {}
        self._generation = 0
        self._lock = threading.RLock()
        objects = "/storage/v1/b/{bucket}/o"
        self.routes = [
            Route("POST", "/storage/v1/b", self._create_bucket),
            Route("GET", "/storage/v1/b/{bucket}", self._get_bucket),
            Route("GET", objects, self._list),
            Route("GET", objects + "/{name*}", self._get),
            Route("GET", "/download" + objects + "/{name*}", self._get),
            Route("POST", "/upload" + objects, self._upload),
            Route("PUT", "/upload" + objects, self._part),
            Route("DELETE", objects + "/{name*}", self._delete),
            Route("POST", objects + "/{name*}/copyTo/b/{to}/o/{to_name*}", self._copy),
            Route("POST", "/batch/storage/v1", self._batch),
        ]

    def read(self, url: str) -> bytes:
        """The object at gs://BUCKET/NAME. Raises Refused."""
        bucket, _, name = url.removeprefix("gs://").partition("/")
        return self._object(bucket, name).data

    def urls(self) -> list[str]:
        with self._lock:
            return [f"gs://{bucket}/{name}" for bucket, own in self.buckets.items() for name in own]

    def _bucket(self, name: str) -> dict[str, Stored]:
        if name not in self.buckets:
            raise Refused("NOT_FOUND", "The specified bucket does not exist.")
        return self.buckets[name]

    def _object(self, bucket: str, name: str) -> Stored:
        with self._lock:
            found = self._bucket(bucket).get(name)
        if found is None:
            raise Refused("NOT_FOUND", f"No such object: {bucket}/{name}")
        return found

    def _create_bucket(self, request: Request) -> Answer:
        name = request.json()["name"]
        with self._lock:
            if name in self.buckets:
                raise Refused("ALREADY_EXISTS", "Your previous request to create the named bucket succeeded.")
            self.buckets[name] = {}
        return as_json(_bucket_facts(name))

    def _get_bucket(self, request: Request) -> Answer:
        self._bucket(request.path["bucket"])
        return as_json(_bucket_facts(request.path["bucket"]))

    def _list(self, request: Request) -> Answer:
        bucket, prefix = request.path["bucket"], request.query.get("prefix", "")
        with self._lock:
            found = {n: o for n, o in sorted(self._bucket(bucket).items()) if n.startswith(prefix)}
        return as_json({"kind": "storage#objects", "items": [_facts(bucket, n, o) for n, o in found.items()]})

    def _get(self, request: Request) -> Answer:
        found = self._object(request.path["bucket"], request.path["name"])
        if request.query.get("alt") != "media":
            return as_json(_facts(request.path["bucket"], request.path["name"], found))
        headers = {
            "Content-Type": found.content_type,
            "X-Goog-Generation": str(found.generation),
            "X-Goog-Hash": f"crc32c={_crc32c(found.data)},md5={_md5(found.data)}",
        }
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range") or "")
        if not asked:
            return Answer(found.data, 200, headers)
        first, last = int(asked[1]), min(int(asked[2] or len(found.data)), len(found.data) - 1)
        if first > last:
            return Answer(b"", 416, {"Content-Range": f"bytes */{len(found.data)}"})
        told = {"Content-Range": f"bytes {first}-{last}/{len(found.data)}"}
        return Answer(found.data[first : last + 1], 206, headers | told)

    def _upload(self, request: Request) -> Answer:
        """The whole of a small object, or the begin of an upload in parts."""
        bucket, query = request.path["bucket"], dict(request.query)
        self._bucket(bucket)
        kind = query.get("uploadType")
        if kind == "resumable":
            facts = request.json()
            name = facts.get("name") or query["name"]
            upload = Upload(bucket, name, query, request.headers.get("X-Upload-Content-Type") or "")
            with self._lock:
                upload_id = f"upload-{len(self._uploads)}"
                self._uploads[upload_id] = upload
            host = request.headers["Host"]
            place = f"http://{host}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={upload_id}"
            return Answer(b"", 200, {"Location": place})
        if kind == "multipart":
            facts, content_type, data = _parts(request)
            return self._store(bucket, facts["name"], data, content_type, query)
        content_type = request.headers.get("Content-Type") or ""
        return self._store(bucket, query["name"], request.body, content_type, query)

    def _part(self, request: Request) -> Answer:
        upload = self._uploads.get(request.query.get("upload_id", ""))
        if upload is None:
            raise Refused("NOT_FOUND", "no such upload")
        upload.data += request.body
        total = (request.headers.get("Content-Range") or "/").rpartition("/")[2]
        if total in ("", "*"):
            return Answer(b"", 308, {"Range": f"bytes=0-{len(upload.data) - 1}"})
        return self._store(upload.bucket, upload.name, bytes(upload.data), upload.content_type, upload.query)

    def _store(self, bucket: str, name: str, data: bytes, content_type: str, query: dict[str, str]) -> Answer:
        with self._lock:
            own = self._bucket(bucket)
            found = own[name].generation if name in own else 0
            if int(query.get("ifGenerationMatch", found)) != found:
                raise Refused("CONDITION_NOT_MET", f"{name} is of generation {found}")
            self._generation += 1
            now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
            own[name] = Stored(data, self._generation, content_type or "application/octet-stream", now)
            return as_json(_facts(bucket, name, own[name]))

    def _delete(self, request: Request) -> Answer:
        bucket, name = request.path["bucket"], request.path["name"]
        self._object(bucket, name)
        with self._lock:
            del self.buckets[bucket][name]
        return Answer(b"", 204)

    def _batch(self, request: Request) -> Answer:
        """Several objects deleted in one request: the only batch that Beam sends here."""
        answers = []
        for method, url in re.findall(rb"\r?\n(\w+) (\S+) HTTP/1\.1\r?\n", request.body):
            path = re.fullmatch(r"/storage/v1/b/([^/]+)/o/(.+)", urlsplit(url.decode()).path)
            if method != b"DELETE" or not path:
                raise Refused("NOT_IMPLEMENTED", f"this local server has no {method.decode()} in a batch")
            found = {"bucket": unquote(path[1]), "name": unquote(path[2])}
            try:
                code = self._delete(Request(found, {}, {}, b"")).code
            except Refused as refused:
                code = CODES[refused.status]
            answers.append(
                f"--batch\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 {code} Done\r\n\r\n\r\n"
            )
        body = "".join(answers) + "--batch--\r\n"
        return Answer(body.encode(), 200, {"Content-Type": "multipart/mixed; boundary=batch"})

    def _copy(self, request: Request) -> Answer:
        path = request.path
        source = self._object(path["bucket"], path["name"])
        return self._store(path["to"], path["to_name"], source.data, source.content_type, dict(request.query))


def _bucket_facts(name: str) -> dict[str, Any]:
    return {"kind": "storage#bucket", "id": name, "name": name, "location": "EU", "projectNumber": "1"}


def _facts(bucket: str, name: str, found: Stored) -> dict[str, Any]:
    return {
        "kind": "storage#object", "id": f"{bucket}/{name}/{found.generation}", "bucket": bucket, "name": name,
        "generation": str(found.generation), "metageneration": "1", "size": str(len(found.data)),
        "contentType": found.content_type, "md5Hash": _md5(found.data), "crc32c": _crc32c(found.data),
        "updated": found.updated, "timeCreated": found.updated,
    }  # fmt: skip


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()


def _parts(request: Request) -> tuple[dict[str, Any], str, bytes]:
    """The facts, the content type and the data of an upload in one go."""
    boundary = re.search(r'boundary="?([^";]+)', request.headers["Content-Type"])
    assert boundary is not None
    _, facts, data, _ = request.body.split(b"--" + boundary[1].encode())
    (_, facts), (head, data) = facts.split(b"\r\n\r\n", 1), data.split(b"\r\n\r\n", 1)
    content_type = re.search(rb"content-type: *([^\r\n]+)", head, re.IGNORECASE)
    return json.loads(facts), content_type[1].decode() if content_type else "", data.removesuffix(b"\r\n")
