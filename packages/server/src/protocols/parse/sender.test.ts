import assert from "node:assert/strict";
import { test } from "node:test";
import { senderOf } from "./sender.ts";

const senders: readonly (readonly [address: string | null, sender: string])[] = [
  ["192.0.2.1", "192.0.2.1"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
  ["2001:0DB8:0001:0002::9", "2001:db8:1:2"],
  ["2001:db8::1", "2001:db8:0:0"],
  ["::1", "0:0:0:0"],
  ["::", "0:0:0:0"],
  ["fe80::1%eth0", "fe80:0:0:0"],
  ["64:ff9b::192.0.2.1", "64:ff9b:0:0"],
  ["1:2:3:4:5:6:7::", "1:2:3:4"],
  [null, ""],
];

for (const [address, sender] of senders) {
  test(`${address} counts as ${sender}`, () => {
    assert.equal(senderOf(address), sender);
  });
}
