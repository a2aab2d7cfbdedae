"""boto3 as its documentation shows it: nothing is set that need not be.

Usage: boto3_cases.py TARGET, where TARGET is JSON (see boto3.ts). Prints a line of
JSON for each case, with the error of one that failed, and a last line that says
that all were run.
"""

import base64
import hashlib
import http.client
import io
import json
import re
import sys
import traceback
import urllib.parse
import zlib

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.compat import HAS_CRT
from botocore.config import Config
from botocore.exceptions import ClientError

MIB = 1024 * 1024
target = json.loads(sys.argv[1])
bucket = target["bucket"]
awkward = target["awkwardKey"]
assert HAS_CRT == target["crt"], "the library of checksums is there when it should be"


def client(endpoint=target["rootEndpoint"], secret=target["secretAccessKey"], **options):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=target["region"],
        aws_access_key_id=target["accessKeyId"],
        aws_secret_access_key=secret,
        **options,
    )


s3 = client(endpoint=target["endpoint"])
secure = client(endpoint=target["secureEndpoint"], verify=target["certificate"])
signing_v4 = client(config=Config(signature_version="s3v4"))


def read(path):
    with open(path, "rb") as file:
        return file.read()


small, large = read(target["small"]), read(target["large"])


def got(by, key, **options):
    return by.get_object(Bucket=bucket, Key=key, **options)["Body"].read()


def same(actual, expected, what="the bytes"):
    if isinstance(actual, bytes) and isinstance(expected, bytes):
        if actual == expected:
            return
        actual = f"{len(actual)} bytes, {hashlib.sha256(actual).hexdigest()}"
        expected = f"{len(expected)} bytes, {hashlib.sha256(expected).hexdigest()}"
    assert actual == expected, f"{what}: {actual!r} is not {expected!r}"


def refused(code, call, *args, **options):
    try:
        call(*args, **options)
    except ClientError as error:
        same(error.response["Error"]["Code"], code, "the code")
        return
    raise AssertionError(f"was not refused with {code}")


def fetch(method, url, body=None, headers=None):
    """Like any other program that was given the URL; urllib would add a content type, which version 2 signs."""
    address = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc)
    try:
        connection.request(method, f"{address.path}?{address.query}", body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def post_form(url, fields, body):
    boundary = "----a-form-of-python"
    lines = []
    for name, value in fields.items():
        lines.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n')
    lines.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a name"\r\n\r\n'
    )
    data = "".join(lines).encode() + body + f"\r\n--{boundary}--\r\n".encode()
    return fetch("POST", url, data, {"Content-Type": f"multipart/form-data; boundary={boundary}"})


def puts_and_gets():
    for by in (s3, secure):
        by.put_object(Bucket=bucket, Key=awkward, Body=small)
        same(got(by, awkward), small)
        with open(target["small"], "rb") as file:
            by.put_object(Bucket=bucket, Key="file", Body=file)
        same(got(by, "file"), small)
        by.put_object(Bucket=bucket, Key="empty")
        same(got(by, "empty"), b"")


def metadata_and_tags():
    s3.put_object(
        Bucket=bucket,
        Key="described",
        Body=b"x",
        ContentType="text/x-test",
        CacheControl="max-age=60",
        Metadata={"some-name": "some value"},
        Tagging="a=1&b=%C3%A9+e",
    )
    head = s3.head_object(Bucket=bucket, Key="described")
    same(head["ContentType"], "text/x-test", "the type")
    same(head["CacheControl"], "max-age=60", "the header")
    same(head["Metadata"], {"some-name": "some value"}, "the metadata")
    tags = s3.get_object_tagging(Bucket=bucket, Key="described")["TagSet"]
    same(tags, [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "é e"}], "the tags")
    s3.put_object_tagging(Bucket=bucket, Key="described", Tagging={"TagSet": tags[:1]})
    same(s3.get_object_tagging(Bucket=bucket, Key="described")["TagSet"], tags[:1], "the tags")
    s3.delete_object_tagging(Bucket=bucket, Key="described")
    same(s3.get_object_tagging(Bucket=bucket, Key="described")["TagSet"], [], "the tags")


def multipart_with_threads():
    for by in (s3, secure):
        with open(target["large"], "rb") as file:
            by.upload_fileobj(file, bucket, "large", ExtraArgs={"Metadata": {"a": "1"}})
        head = by.head_object(Bucket=bucket, Key="large")
        assert re.fullmatch(r'"[0-9a-f]{32}-4"', head["ETag"]), head["ETag"]
        same(head["Metadata"], {"a": "1"}, "the metadata")
        into = io.BytesIO()
        by.download_fileobj(bucket, "large", into)
        same(into.getvalue(), large)
    in_small_parts = TransferConfig(
        multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=10
    )
    s3.upload_file(target["large"], bucket, "large", Config=in_small_parts)
    same(got(s3, "large"), large)


def ranges_and_parts():
    s3.upload_file(target["large"], bucket, "parts")
    same(got(s3, "parts", Range="bytes=0-9"), large[:10])
    border = 8 * MIB
    same(got(s3, "parts", Range=f"bytes={border - 5}-{border + 5}"), large[border - 5 : border + 6])
    same(got(s3, "parts", Range="bytes=-7"), large[-7:])
    same(got(s3, "parts", PartNumber=2), large[border : 2 * border])
    refused("InvalidRange", got, s3, "parts", Range=f"bytes={len(large)}-")


def checksums():
    made = {
        "CRC32": zlib.crc32(small).to_bytes(4, "big"),
        "SHA1": hashlib.sha1(small).digest(),
        "SHA256": hashlib.sha256(small).digest(),
        **({"CRC32C": None, "CRC64NVME": None} if HAS_CRT else {}),
    }
    for algorithm, digest in made.items():
        for by in (s3, secure):
            key = f"checksum/{algorithm}"
            put = by.put_object(
                Bucket=bucket, Key=key, Body=io.BytesIO(small), ChecksumAlgorithm=algorithm
            )
            name = f"Checksum{algorithm}"
            head = by.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
            same(head[name], put[name], name)
            if digest is not None:
                same(head[name], base64.b64encode(digest).decode(), name)
            same(got(by, key, ChecksumMode="ENABLED"), small)
        s3.upload_file(
            target["large"], bucket, key, ExtraArgs={"ChecksumAlgorithm": algorithm}
        )
        same(got(s3, key, ChecksumMode="ENABLED"), large)
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    put = {"Bucket": bucket, "Key": "checksum/wrong", "Body": b"bytes"}
    # By default it asks five times, with pauses.
    once = client(config=Config(retries={"total_max_attempts": 1}))
    refused("BadDigest", once.put_object, ChecksumSHA256=wrong, **put)
    refused("NoSuchKey", got, s3, "checksum/wrong")


def lists_more_than_a_page():
    many = target["many"]
    for version in ("list_objects_v2", "list_objects"):
        for size in (1000, 300):
            pages = s3.get_paginator(version).paginate(
                Bucket=many["bucket"], PaginationConfig={"PageSize": size}
            )
            keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
            same(keys, many["keys"], version)
    top = s3.list_objects_v2(Bucket=many["bucket"], Delimiter="/")
    same(top["CommonPrefixes"], [{"Prefix": "folder/"}], "the folders")
    same(top["KeyCount"], len(many["keys"]) // 2 + 1, "the count")


def copies():
    s3.upload_file(target["large"], bucket, awkward)
    source = {"Bucket": bucket, "Key": awkward}
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
    same(got(s3, "copy"), large)
    # Managed: above 8 MiB by copies of ranges.
    s3.copy(source, bucket, "managed")
    same(got(s3, "managed"), large)
    s3.copy_object(
        Bucket=bucket,
        Key="copy",
        CopySource={"Bucket": bucket, "Key": "copy"},
        MetadataDirective="REPLACE",
        Metadata={"b": "2"},
    )
    same(s3.head_object(Bucket=bucket, Key="copy")["Metadata"], {"b": "2"}, "the metadata")
    none = {"Bucket": bucket, "Key": "none"}
    refused("NoSuchKey", s3.copy_object, Bucket=bucket, Key="copy", CopySource=none)
    same(got(s3, "copy"), large)


def deletes_one_and_many():
    keys = ["deleted/" + key for key in (awkward, "a//b/", "line\nbreak", "plain")]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="deleted/")["Contents"]
    same(sorted(item["Key"] for item in listed), sorted(keys), "the keys")
    s3.delete_object(Bucket=bucket, Key=keys.pop())
    s3.delete_object(Bucket=bucket, Key="deleted/none")
    objects = [{"Key": key} for key in keys + ["deleted/none"]]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    same(len(answer["Deleted"]), len(objects), "the deleted")
    assert "Errors" not in answer, answer
    same(s3.list_objects_v2(Bucket=bucket, Prefix="deleted/")["KeyCount"], 0, "what is left")
    resource = boto3.resource(
        "s3",
        endpoint_url=target["endpoint"],
        aws_access_key_id=target["accessKeyId"],
        aws_secret_access_key=target["secretAccessKey"],
        region_name=target["region"],
    )
    for index in range(3):
        s3.put_object(Bucket=bucket, Key=f"deleted/{index}", Body=b"x")
    resource.Bucket(bucket).objects.filter(Prefix="deleted/").delete()
    same(s3.list_objects_v2(Bucket=bucket, Prefix="deleted/")["KeyCount"], 0, "what is left")


def conditions():
    put = {"Bucket": bucket, "Key": "conditions"}
    tag = s3.put_object(IfNoneMatch="*", Body=b"1", **put)["ETag"]
    refused("PreconditionFailed", s3.put_object, IfNoneMatch="*", Body=b"2", **put)
    s3.put_object(IfMatch=tag, Body=b"3", **put)
    refused("PreconditionFailed", s3.put_object, IfMatch=tag, Body=b"4", **put)
    same(got(s3, "conditions"), b"3")
    refused("304", got, s3, "conditions", IfNoneMatch=s3.head_object(**put)["ETag"])


def presigned_v4():
    params = {"Bucket": bucket, "Key": awkward, "ContentType": "text/x-test", "Metadata": {"a": "1"}}
    url = signing_v4.generate_presigned_url("put_object", Params=params, ExpiresIn=60)
    headers = {"Content-Type": "text/x-test", "x-amz-meta-a": "1"}
    same(fetch("PUT", url, small, headers)[0], 200, "the status")
    same(fetch("PUT", url, small, {**headers, "x-amz-meta-a": "2"})[0], 403, "the status")
    same(s3.head_object(Bucket=bucket, Key=awkward)["Metadata"], {"a": "1"}, "the metadata")
    params = {"Bucket": bucket, "Key": awkward}
    url = signing_v4.generate_presigned_url("get_object", Params=params)
    same(fetch("GET", url), (200, small))
    same(fetch("GET", url.replace("X-Amz-Expires=3600", "X-Amz-Expires=7200"))[0], 403, "the status")
    same(fetch("PUT", url, b"x")[0], 403, "the status")
    same(got(s3, awkward), small)


def presigned_by_default():
    params = {"Bucket": bucket, "Key": awkward + " default"}
    url = s3.generate_presigned_url("put_object", Params=params, ExpiresIn=60)
    assert "AWSAccessKeyId=" in url, "by version 2, unless told otherwise"
    same(fetch("PUT", url, small)[0], 200, "the status")
    same(got(s3, params["Key"]), small)
    url = s3.generate_presigned_url("get_object", Params=params)
    same(fetch("GET", url), (200, small))
    same(fetch("GET", url.replace("%20default", "%20other"))[0], 403, "the status")
    same(fetch("PUT", url, b"x")[0], 403, "the status")
    late = s3.generate_presigned_url("get_object", Params=params, ExpiresIn=-1)
    same(fetch("GET", late)[0], 403, "the status")
    same(got(s3, params["Key"]), small)


def forms():
    for by in (s3, signing_v4):
        post = by.generate_presigned_post(
            bucket,
            "form/${filename}",
            Fields={"Content-Type": "text/x-test", "x-amz-meta-a": "1"},
            Conditions=[
                {"Content-Type": "text/x-test"},
                {"x-amz-meta-a": "1"},
                ["content-length-range", 1, 100_000],
            ],
        )
        same(post_form(post["url"], post["fields"], small)[0], 204, "the status")
        same(got(s3, "form/a name"), small)
        status, answer = post_form(post["url"], post["fields"], bytes(100_001))
        same((status, b"EntityTooLarge" in answer), (400, True), "the refusal")
        other = {**post["fields"], "Content-Type": "text/html"}
        same(post_form(post["url"], other, small)[0], 403, "the status")
        same(got(s3, "form/a name"), small)


def buckets():
    name = target["bucket"] + "-made"
    s3.create_bucket(Bucket=name)
    assert name in [item["Name"] for item in s3.list_buckets()["Buckets"]]
    s3.head_bucket(Bucket=name)
    same(s3.get_bucket_location(Bucket=name)["LocationConstraint"], None, "the location")
    s3.put_object(Bucket=name, Key="k", Body=b"x")
    refused("BucketNotEmpty", s3.delete_bucket, Bucket=name)
    s3.delete_object(Bucket=name, Key="k")
    s3.delete_bucket(Bucket=name)
    refused("404", s3.head_bucket, Bucket=name)


def refusals():
    refused("NoSuchKey", got, s3, "none")
    refused("404", s3.head_object, Bucket=bucket, Key="none")
    refused("NoSuchBucket", s3.get_object, Bucket="no-such-bucket", Key="none")
    stranger = client(secret="another")
    refused("SignatureDoesNotMatch", got, stranger, "none")
    refused("SignatureDoesNotMatch", stranger.put_object, Bucket=bucket, Key="none", Body=b"x")
    refused("NoSuchKey", got, s3, "none")
    refused(
        "NoSuchUpload",
        s3.upload_part,
        Bucket=bucket,
        Key="none",
        UploadId="none",
        PartNumber=1,
        Body=b"x",
    )


every = {
    "puts and gets bytes and files, over http and https": puts_and_gets,
    "gives back metadata, headers and tags": metadata_and_tags,
    "uploads and downloads in parts with threads, over http and https": multipart_with_threads,
    "reads ranges and parts": ranges_and_parts,
    "sends and verifies each checksum, and is refused a wrong one": checksums,
    "lists more than a page, in order and by folders": lists_more_than_a_page,
    "copies, by ranges too, and replaces metadata in place": copies,
    "deletes one, many, and all of a prefix": deletes_one_and_many,
    "writes under conditions": conditions,
    "presigned: get and put, and refused when changed": presigned_v4,
    "presigned by default, which is version 2: get and put": presigned_by_default,
    "forms with a policy of either version, and refused beyond it": forms,
    "makes, lists and removes buckets": buckets,
    "is told what is wrong": refusals,
}

if HAS_CRT:
    # What it changes: checksums, and who signs.
    changed = (puts_and_gets, multipart_with_threads, checksums, presigned_v4)
    every = {name: act for name, act in every.items() if act in changed}

for name, act in every.items():
    line = {"name": name}
    try:
        act()
    except Exception:
        line["error"] = traceback.format_exc()
    print(json.dumps(line), flush=True)
print(json.dumps({"ran": len(every)}), flush=True)
