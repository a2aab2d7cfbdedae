/** Which operation a request means, and that what is not offered never is taken for another one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { subResources } from "./dispatch.ts";
import { startS3 } from "./testing.ts";

test("a write to any sub-resource that is not offered is refused, and stores nothing", async (t) => {
  const s3 = await startS3(t);
  const offered = new Set(["acl", "tagging", "cors", "delete", "uploads", "uploadId"]);
  for (const name of [...subResources].filter((known) => !offered.has(known))) {
    for (const target of [`/s3/demo/key?${name}`, `/s3/demo?${name}=`]) {
      for (const method of ["PUT", "DELETE"]) {
        const { status, code } = await s3.call(method, target, { body: "<x/>" });
        assert.deepEqual(
          { method, target, status, code },
          { method, target, status: 501, code: "NotImplemented" },
        );
      }
    }
  }
  assert.equal((await s3.call("HEAD", "/s3/demo/key")).status, 404);
  assert.equal((await s3.call("HEAD", "/s3/demo")).status, 200);
});

test("a bare name that nobody knows is no plain write either", async (t) => {
  const s3 = await startS3(t);
  assert.equal((await s3.call("PUT", "/s3/demo/key?tomorrow", { body: "x" })).status, 501);
  assert.equal((await s3.call("HEAD", "/s3/demo/key")).status, 404);
  assert.equal((await s3.call("PUT", "/s3/demo/key?x-id=PutObject", { body: "x" })).status, 200);
});

test("a rename is refused, and an ACL document is not stored as the object", async (t) => {
  const s3 = await startS3(t);
  await s3.call("PUT", "/s3/demo/key", { body: "bytes" });
  const renamed = await s3.call("PUT", "/s3/demo/other", {
    headers: { "x-amz-rename-source": "/demo/key" },
  });
  assert.equal(renamed.code, "NotImplemented");
  const acl = await s3.call("PUT", "/s3/demo/key?acl", { body: "<AccessControlPolicy/>" });
  assert.deepEqual([acl.status, acl.code], [400, "AccessControlListNotSupported"]);
  assert.equal((await s3.call("GET", "/s3/demo/key")).text, "bytes");
});

test("an ACL that changes nothing is accepted, and the ACL is the owner's", async (t) => {
  const s3 = await startS3(t);
  await s3.call("PUT", "/s3/demo/key", { body: "bytes", headers: { "x-amz-acl": "private" } });
  for (const target of ["/s3/demo?acl", "/s3/demo/key?acl"]) {
    const put = await s3.call("PUT", target, { headers: { "x-amz-acl": "private" } });
    assert.equal(put.status, 200);
    const { text } = await s3.call("GET", target);
    assert.match(text, /xsi:type="CanonicalUser".*<Permission>FULL_CONTROL<\/Permission>/s);
  }
  const open = await s3.call("PUT", "/s3/demo/key?acl", {
    headers: { "x-amz-acl": "public-read" },
  });
  assert.equal(open.code, "AccessControlListNotSupported");
});

test("the ACL document that was read is accepted back, as clients send it after a copy; no other is", async (t) => {
  const s3 = await startS3(t);
  await s3.call("PUT", "/s3/demo/key", { body: "bytes" });
  for (const target of ["/s3/demo?acl", "/s3/demo/key?acl"]) {
    const { text } = await s3.call("GET", target);
    const put = await s3.call("PUT", target, { body: text });
    assert.equal(put.status, 200, put.text);
    const grant = /<Grant>.*<\/Grant>/s.exec(text)?.[0] ?? "";
    const everybody = "<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI>";
    for (const other of [
      text.replace("FULL_CONTROL", "READ"),
      text.replace(grant, ""),
      text.replaceAll(/<ID>.*?<\/ID>/g, "<ID>somebody</ID>"),
      text.replace(grant, `${grant}<Grant><Grantee>${everybody}</Grantee></Grant>`),
      text.replace(/<ID>.*?<\/ID>/, "<ID>somebody</ID>"),
      text.replaceAll("AccessControlPolicy", "Policy"),
    ]) {
      const refused = await s3.call("PUT", target, { body: other });
      assert.deepEqual([refused.status, refused.code], [400, "AccessControlListNotSupported"]);
      const both = { body: other, headers: { "x-amz-acl": "private" } };
      assert.equal((await s3.call("PUT", target, both)).status, 400, "beside a canned one too");
    }
    assert.equal((await s3.call("PUT", target, { body: "<AccessControl" })).code, "MalformedXML");
    assert.equal((await s3.call("PUT", target)).code, "AccessControlListNotSupported");
  }
});

test("headers that ask for what is not done are refused, and nothing is stored", async (t) => {
  const s3 = await startS3(t);
  for (const [name, value, code, status] of [
    ["x-amz-server-side-encryption", "AES256", "NotImplemented", 501],
    ["x-amz-server-side-encryption-customer-algorithm", "AES256", "NotImplemented", 501],
    ["x-amz-object-lock-mode", "GOVERNANCE", "NotImplemented", 501],
    ["x-amz-website-redirect-location", "/", "NotImplemented", 501],
    ["x-amz-write-offset-bytes", "0", "NotImplemented", 501],
    ["x-amz-acl", "public-read", "AccessControlListNotSupported", 400],
    ["x-amz-grant-read", "id=x", "AccessControlListNotSupported", 400],
    ["x-amz-storage-class", "GLACIER", "InvalidStorageClass", 400],
    ["x-amz-expected-bucket-owner", "111122223333", "AccessDenied", 403],
  ] as const) {
    const answered = await s3.call("PUT", "/s3/demo/key", {
      body: "x",
      headers: { [name]: value },
    });
    assert.deepEqual([name, answered.status, answered.code], [name, status, code]);
    if (status === 501) assert.match(answered.text, new RegExp(`<Header>${name}</Header>`));
  }
  assert.equal((await s3.call("HEAD", "/s3/demo/key")).status, 404);
});

test("two sub-resources at once, another version and another method are refused", async (t) => {
  const s3 = await startS3(t);
  await s3.call("PUT", "/s3/demo/key", { body: "x" });
  for (const [method, target, status, code] of [
    ["GET", "/s3/demo/key?acl&tagging", 400, "InvalidArgument"],
    ["GET", "/s3/demo/key?versionId=abc", 404, "NoSuchVersion"],
    ["DELETE", "/s3/demo/key?versionId=abc", 404, "NoSuchVersion"],
    ["GET", "/s3/demo/key?versionId=null", 200, undefined],
    ["POST", "/s3/demo/key", 405, "MethodNotAllowed"],
    ["PUT", "/s3/", 405, "MethodNotAllowed"],
    ["PATCH", "/s3/demo/key", 405, "MethodNotAllowed"],
  ] as const) {
    const answered = await s3.call(method, target);
    assert.deepEqual([target, answered.status, answered.code], [target, status, code]);
    if (status === 405) assert.match(answered.headers.allow ?? "", /GET/);
  }
});

test("an expectation that nobody knows is served as if it were not there", async (t) => {
  const s3 = await startS3(t);
  const unsignedHeaders = { expect: "200-ok" };
  assert.equal((await s3.call("GET", "/s3/demo", { unsignedHeaders })).status, 200);
});
