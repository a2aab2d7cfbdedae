/** What has been declared counts once: as promised until it is seen on the disk, and as used from then on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DiskRoom } from "./disk-room.ts";

function room(freeBytes: number) {
  const disk = new DiskRoom(1);
  let usedBytes = 0;
  const look = (): void => disk.look(disk.mark(), freeBytes - usedBytes);
  look();
  const upload = (bytes: number) => {
    let writtenBytes = 0;
    const reservation = disk.reserve({ bytes, writtenBytes: () => writtenBytes });
    return {
      write: (more: number) => {
        writtenBytes += more;
        usedBytes += more;
      },
      end: () => reservation[Symbol.dispose](),
      /** And its bytes are removed. */
      fail: () => {
        reservation[Symbol.dispose]();
        usedBytes -= writtenBytes;
      },
    };
  };
  return { disk, look, upload };
}

test("what is declared is taken off at once, and stays so whatever of it is written and seen", () => {
  const { disk, look, upload } = room(100);
  const one = upload(60);
  assert.equal(disk.freeBytes, 40);
  one.write(25);
  assert.equal(disk.freeBytes, 40);
  look();
  assert.equal(disk.freeBytes, 40);
  const other = upload(10);
  one.write(35);
  look();
  assert.equal(disk.freeBytes, 30);
  one.end();
  other.write(10);
  other.end();
  assert.equal(disk.freeBytes, 30, "no look has seen the last bytes yet");
  look();
  assert.equal(disk.freeBytes, 30);
});

test("an upload that fails gives back what it did not write at once, and the rest with the next look", () => {
  const { disk, look, upload } = room(100);
  const one = upload(60);
  one.write(20);
  look();
  one.write(10);
  one.fail();
  assert.equal(disk.freeBytes, 70);
  one.end();
  assert.equal(disk.freeBytes, 70, "a second end changes nothing");
  look();
  assert.equal(disk.freeBytes, 100);
});

test("bytes that are written during a look are not taken for seen, and a look that was overtaken changes nothing", () => {
  const { disk, upload } = room(100);
  const one = upload(60);
  one.write(20);
  const early = disk.mark();
  one.write(20);
  const late = disk.mark();
  disk.look(late, 60);
  assert.equal(disk.freeBytes, 40);
  disk.look(early, 80);
  assert.equal(disk.freeBytes, 40);
});

test("what others write or free is seen by the next look, and more than was declared counts as declared", () => {
  const { disk, upload } = room(100);
  const one = upload(10);
  one.write(15);
  disk.look(disk.mark(), 50);
  assert.equal(disk.freeBytes, 50);
  one.end();
  assert.equal(disk.freeBytes, 50);
});
