"""Cloud Storage: buckets and objects, uploads in one go or in parts, downloads of ranges, lists, copies.

Old versions of an object are not kept; its generation counts up, so that writers with a stale condition are refused.
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

from deploy.local.gcp.web import CODES, Answer, HttpRequest, RequestRefused, Route, as_json


@dataclass(frozen=True)
class Stored:
    """A stored object."""

    data: bytes
    generation: int
    content_type: str
    updated: str


@dataclass
class Upload:
    """An upload in parts that is not complete yet."""

    bucket: str
    name: str
    query: dict[str, str]
    content_type: str
    data: bytearray = field(default_factory=bytearray)


class Storage:
    """All buckets and their objects."""

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
        """Return the bytes of the object at gs://BUCKET/NAME. Raises RequestRefused."""
        bucket, _, name = url.removeprefix("gs://").partition("/")
        return self._object(bucket, name).data

    def urls(self) -> list[str]:
        """Return the gs:// addresses of all objects."""
        with self._lock:
            return [f"gs://{bucket}/{name}" for bucket, objects in self.buckets.items() for name in objects]

    def _bucket(self, name: str) -> dict[str, Stored]:
        if name not in self.buckets:
            raise RequestRefused("NOT_FOUND", "The specified bucket does not exist.")
        return self.buckets[name]

    def _object(self, bucket: str, name: str) -> Stored:
        with self._lock:
            stored = self._bucket(bucket).get(name)
        if stored is None:
            raise RequestRefused("NOT_FOUND", f"No such object: {bucket}/{name}")
        return stored

    def _create_bucket(self, request: HttpRequest) -> Answer:
        name = request.json()["name"]
        with self._lock:
            if name in self.buckets:
                raise RequestRefused(
                    "ALREADY_EXISTS", "Your previous request to create the named bucket succeeded."
                )
            self.buckets[name] = {}
        return as_json(_bucket_facts(name))

    def _get_bucket(self, request: HttpRequest) -> Answer:
        self._bucket(request.path["bucket"])
        return as_json(_bucket_facts(request.path["bucket"]))

    def _list(self, request: HttpRequest) -> Answer:
        bucket, prefix = request.path["bucket"], request.query.get("prefix", "")
        with self._lock:
            objects = {n: o for n, o in sorted(self._bucket(bucket).items()) if n.startswith(prefix)}
        items = [_facts(bucket, n, o) for n, o in objects.items()]
        return as_json({"kind": "storage#objects", "items": items})

    def _get(self, request: HttpRequest) -> Answer:
        stored = self._object(request.path["bucket"], request.path["name"])
        if request.query.get("alt") != "media":
            return as_json(_facts(request.path["bucket"], request.path["name"], stored))
        headers = {
            "Content-Type": stored.content_type,
            "X-Goog-Generation": str(stored.generation),
            "X-Goog-Hash": f"crc32c={_crc32c(stored.data)},md5={_md5(stored.data)}",
        }
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range") or "")
        if not asked:
            return Answer(stored.data, 200, headers)
        size = len(stored.data)
        first, last = int(asked[1]), min(int(asked[2] or size), size - 1)
        if first > last:
            return Answer(b"", 416, {"Content-Range": f"bytes */{size}"})
        content_range = {"Content-Range": f"bytes {first}-{last}/{size}"}
        return Answer(stored.data[first : last + 1], 206, headers | content_range)

    def _upload(self, request: HttpRequest) -> Answer:
        """Store a small object, or begin an upload in parts."""
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

    def _part(self, request: HttpRequest) -> Answer:
        upload = self._uploads.get(request.query.get("upload_id", ""))
        if upload is None:
            raise RequestRefused("NOT_FOUND", "no such upload")
        upload.data += request.body
        total = (request.headers.get("Content-Range") or "/").rpartition("/")[2]
        if total in ("", "*"):
            return Answer(b"", 308, {"Range": f"bytes=0-{len(upload.data) - 1}"})
        return self._store(upload.bucket, upload.name, bytes(upload.data), upload.content_type, upload.query)

    def _store(self, bucket: str, name: str, data: bytes, content_type: str, query: dict[str, str]) -> Answer:
        with self._lock:
            objects = self._bucket(bucket)
            generation = objects[name].generation if name in objects else 0
            if int(query.get("ifGenerationMatch", generation)) != generation:
                raise RequestRefused("CONDITION_NOT_MET", f"{name} is of generation {generation}")
            self._generation += 1
            now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
            objects[name] = Stored(data, self._generation, content_type or "application/octet-stream", now)
            return as_json(_facts(bucket, name, objects[name]))

    def _delete(self, request: HttpRequest) -> Answer:
        bucket, name = request.path["bucket"], request.path["name"]
        self._object(bucket, name)
        with self._lock:
            del self.buckets[bucket][name]
        return Answer(b"", 204)

    def _batch(self, request: HttpRequest) -> Answer:
        """Delete several objects in one request: the only batch that Beam sends."""
        answers = []
        for method, url in re.findall(rb"\r?\n(\w+) (\S+) HTTP/1\.1\r?\n", request.body):
            path = re.fullmatch(r"/storage/v1/b/([^/]+)/o/(.+)", urlsplit(url.decode()).path)
            if method != b"DELETE" or not path:
                raise RequestRefused(
                    "NOT_IMPLEMENTED", f"this local server has no {method.decode()} in a batch"
                )
            parts = {"bucket": unquote(path[1]), "name": unquote(path[2])}
            try:
                code = self._delete(HttpRequest(parts, {}, {}, b"")).code
            except RequestRefused as refused:
                code = CODES[refused.status]
            answers.append(
                f"--batch\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 {code} Done\r\n\r\n\r\n"
            )
        body = "".join(answers) + "--batch--\r\n"
        return Answer(body.encode(), 200, {"Content-Type": "multipart/mixed; boundary=batch"})

    def _copy(self, request: HttpRequest) -> Answer:
        path = request.path
        source = self._object(path["bucket"], path["name"])
        return self._store(path["to"], path["to_name"], source.data, source.content_type, dict(request.query))


def _bucket_facts(name: str) -> dict[str, Any]:
    return {"kind": "storage#bucket", "id": name, "name": name, "location": "EU", "projectNumber": "1"}


def _facts(bucket: str, name: str, stored: Stored) -> dict[str, Any]:
    return {
        "kind": "storage#object", "id": f"{bucket}/{name}/{stored.generation}", "bucket": bucket, "name": name,
        "generation": str(stored.generation), "metageneration": "1", "size": str(len(stored.data)),
        "contentType": stored.content_type, "md5Hash": _md5(stored.data), "crc32c": _crc32c(stored.data),
        "updated": stored.updated, "timeCreated": stored.updated,
    }  # fmt: skip


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def _parts(request: HttpRequest) -> tuple[dict[str, Any], str, bytes]:
    """Return the metadata, the content type and the data of a multipart upload."""
    boundary = re.search(r'boundary="?([^";]+)', request.headers["Content-Type"])
    assert boundary is not None
    _, facts, data, _ = request.body.split(b"--" + boundary[1].encode())
    (_, facts), (head, data) = facts.split(b"\r\n\r\n", 1), data.split(b"\r\n\r\n", 1)
    content_type = re.search(rb"content-type: *([^\r\n]+)", head, re.IGNORECASE)
    return json.loads(facts), content_type[1].decode() if content_type else "", data.removesuffix(b"\r\n")
