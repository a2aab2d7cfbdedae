/** s3fs: buckets mounted as folders, from the listener for S3 alone, since it signs no path of its address. */
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { cleanUp } from "../harness/cleanup.ts";
import { eventually } from "../harness/process-usage.ts";
import { requirePrerequisite } from "../prerequisites.ts";
import type { S3ClientTests, Target } from "./client.ts";
import { run, sha256OfFile, start } from "./programs.ts";

interface Mounts {
  readonly target: Target;
  /**
   * What a shell printed, in the target's folder; must succeed. The tests' own process stays out of the
   * mounts, where a call that hangs could not be ended. `A` and `B` are mounts of the client's bucket, each
   * with a cache of its own; `large` and `small` are files.
   */
  readonly shell: (script: string) => Promise<string>;
}

export const s3fs: S3ClientTests = {
  name: "s3fs",
  run: async (t, open) => {
    if (!requirePrerequisite(t, "s3fs") || !requirePrerequisite(t, "fuse")) return;
    const target = await open();
    const { folder, bucket, many, large, small } = target;
    await writeFile(join(folder, "passwd"), passwordOf(target));
    await chmod(join(folder, "passwd"), 0o600);
    await mount(t, target, { bucket, at: "A" });
    // By TLS, and above 10 MB it renames by copies of parts.
    const parts = "multipart_copy_size=8,singlepart_copy_limit=10";
    const secure = { ...target, rootEndpoint: target.secureEndpoint };
    await mount(t, secure, { bucket, at: "B", options: [parts] });
    await mount(t, target, { bucket: many.bucket, at: "many" });
    const environment = { large: large.path, small: small.path };
    const given: Mounts = {
      target,
      shell: async (script) => {
        const args = ["-euo", "pipefail", "-c", script];
        return (await run("bash", args, { folder, environment })).toString();
      },
    };
    for (const [name, act] of Object.entries(cases)) await t.test(name, () => act(given));
  },
};

function passwordOf({ accessKeyId, secretAccessKey }: Target): string {
  return `${accessKeyId}:${secretAccessKey}\n`;
}

function mountArguments(
  target: Target,
  { bucket, at, options = [] }: MountOptions,
): readonly string[] {
  const settings = [`url=${target.rootEndpoint}`, "use_path_request_style", "passwd_file=passwd"];
  return [bucket, at, "-f", "-o", [...settings, ...options].join(",")];
}

interface MountOptions {
  readonly bucket: string;
  readonly at: string;
  readonly options?: readonly string[];
}

/** Unmounted after the test, and also when this process is killed: then its pipe closes. */
async function mount(t: TestContext, target: Target, options: MountOptions): Promise<void> {
  const { folder } = target;
  const path = join(folder, options.at);
  await mkdir(path);
  const script = 's3fs "$@" & read -r _; umount "$2" || umount --lazy "$2"; wait';
  const keeper = spawn("bash", ["-c", script, "s3fs", ...mountArguments(target, options)], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? "", HOME: folder, CURL_CA_BUNDLE: target.certificate },
    stdio: ["pipe", "ignore", "pipe"],
    detached: true,
  });
  let said = "";
  keeper.stderr.on("data", (text) => {
    said += text;
  });
  const ended = once(keeper, "exit");
  cleanUp(t, async () => {
    keeper.stdin.end();
    assert.deepEqual(await ended, [0, null], said);
  });
  await eventually(`${options.at} is mounted: ${said}`, async () => {
    return (await readFile("/proc/self/mounts", "utf8")).includes(` ${path} fuse.s3fs `);
  });
}

const cases: Readonly<Record<string, (mounts: Mounts) => Promise<void>>> = {
  "writes and reads, and another mount sees the same": async ({ shell, target }) => {
    await shell('for m in A B; do cp "$small" "$m/of $m +%"; cp "$large" $m/large-of-$m; done');
    for (const [at, name] of ["AB", "BA"]) {
      await shell(`cmp "$small" "${at}/of ${name} +%"; cmp "$large" ${at}/large-of-${name}`);
    }
    assert.equal(await shell("echo one > A/text; cat A/text B/text"), "one\none\n");
    assert.equal(await shell("stat -c %s A/large-of-B"), `${target.large.length}\n`);
  },

  "appends, and writes into the middle": async ({ shell, target: { folder } }) => {
    await shell(`
      cp "$large" expected
      cp "$large" A/changed
      for file in expected A/changed; do
        cat "$small" >> $file
        dd if="$small" of=$file conv=notrunc bs=70001 count=1 seek=100 status=none
      done
      cmp expected A/changed`);
    const expected = await sha256OfFile(join(folder, "expected"));
    assert.match(await shell("sha256sum B/changed"), new RegExp(expected));
  },

  "renames files and folders": async ({ shell }) => {
    await shell(`
      mkdir -p A/one/deep B/parts
      cp "$large" A/one/deep/large
      cp "$small" A/one/small
      mv A/one/small A/renamed
      mv A/one A/two
      cmp "$small" A/renamed
      cmp "$large" B/two/deep/large
      test ! -e A/one
      cp "$large" B/parts/large
      mv B/parts/large B/parts/renamed
      cmp "$large" A/parts/renamed
      test ! -e A/parts/large`);
  },

  "keeps modes, times, links and a shorter length": async ({ shell }) => {
    const told = await shell(`
      cp "$small" A/described
      chmod 640 A/described
      touch -d 2001-02-03T04:05:06Z A/described
      stat -c '%a %Y' B/described
      ln -s described A/link
      readlink B/link
      truncate -s 1000 A/described
      cmp -n 1000 "$small" A/described
      stat -c %s A/described`);
    assert.equal(told, "640 981173106\ndescribed\n1000\n");
  },

  "lists more than a page, and by folders": async ({ shell, target: { many } }) => {
    const top = (await shell("LC_ALL=C ls many")).trimEnd().split("\n");
    assert.deepEqual(top, ["folder", ...many.keys.slice(many.keys.length / 2)]);
    const below = (await shell("LC_ALL=C ls many/folder")).trimEnd().split("\n");
    assert.deepEqual(
      below.map((name) => `folder/${name}`),
      many.keys.slice(0, many.keys.length / 2),
    );
    const key = many.keys.at(-1) ?? "";
    assert.equal(await shell(`cat many/${key}`), key);
  },

  "removes files and folders": async ({ shell }) => {
    await shell('mkdir -p A/gone/deep; cp "$small" A/gone/deep/file; cp "$small" A/gone/file');
    await shell("rm A/gone/file; test -e A/gone/deep/file; ! rmdir A/gone; rm -r A/gone");
    assert.equal(await shell("ls -d A/gone B/gone 2>&1 || true"), gone("A") + gone("B"));
  },

  "is told what is wrong": async ({ shell, target }) => {
    assert.match(await shell("cat A/none 2>&1 || true"), /No such file or directory/);
    const { folder, bucket } = target;
    await writeFile(
      join(folder, "strangers"),
      passwordOf({ ...target, secretAccessKey: "another" }),
    );
    await chmod(join(folder, "strangers"), 0o600);
    await mkdir(join(folder, "refused"));
    // Some refusals end it with 0.
    const refusedMount = async (options: Omit<MountOptions, "at">, says: RegExp) => {
      const args = mountArguments(target, { ...options, at: "refused" });
      const { stdout, stderr } = await start("s3fs", args, { folder });
      assert.match(`${stdout}${stderr}`, says);
    };
    await refusedMount(
      { bucket, options: ["passwd_file=strangers"] },
      /Failed to connect by sigv4/,
    );
    await refusedMount({ bucket: "no-such-bucket" }, /bucket or key not found/);
  },
};

function gone(at: string): string {
  return `ls: cannot access '${at}/gone': No such file or directory\n`;
}
