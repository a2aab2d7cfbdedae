/**
 * The console: buckets and objects over the public REST protocol. Names come from other people, so
 * text is only ever set as text; the key is kept in this module alone and forgotten with the page.
 */

const element = (id) => document.getElementById(id);
const state = { credential: "", bucket: "", prefix: "", cursor: null };

async function call(method, path, value) {
  const headers = { authorization: `Bearer ${state.credential}` };
  if (value !== undefined) headers["content-type"] = "application/json";
  const body = value === undefined ? null : JSON.stringify(value);
  const response = await fetch(path, { method, headers, body });
  if (!response.ok) throw new Error(await refusal(response));
  return response.status === 204 ? null : response.json();
}

async function refusal(response) {
  try {
    const { detail, title, requestId } = await response.json();
    return `${detail || title} (request ${requestId})`;
  } catch {
    return `The server answered ${response.status}.`;
  }
}

function objectPath(key) {
  const encoded = key.split("/").map(encodeURIComponent).join("/");
  return `/v1/objects/${encodeURIComponent(state.bucket)}/${encoded}`;
}

function say(text, { error = false } = {}) {
  element("message").textContent = text;
  element("message").classList.toggle("error", error);
}

/** Runs an action of the user; what fails is said, and the page stays usable. */
function attempt(action) {
  return async (...values) => {
    say("");
    try {
      await action(...values);
    } catch (error) {
      say(error instanceof Error ? error.message : String(error), { error: true });
    }
  };
}

function button(text, action, { label, link = false } = {}) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  if (label !== undefined) made.ariaLabel = label;
  if (link) made.className = "link";
  made.addEventListener("click", attempt(action));
  return made;
}

function addRow(cells) {
  const row = element("rows").insertRow();
  for (const cell of cells) row.insertCell().append(...[cell].flat());
}

function formatBytes(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const index = bytes < 1 ? 0 : Math.min(4, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** index).toFixed(index === 0 ? 0 : 1)} ${units[index]}`;
}

async function showBuckets() {
  Object.assign(state, { bucket: "", prefix: "", cursor: null });
  const { buckets } = await call("GET", "/v1/buckets");
  showPath();
  element("rows").replaceChildren();
  element("more").hidden = true;
  element("caption").textContent = buckets.length === 0 ? "No buckets" : "Buckets";
  for (const { name, createdAt, visibility } of buckets) {
    const open = button(name, () => showObjects(name, ""), { link: true });
    addRow([open, visibility, new Date(createdAt).toLocaleString(), ""]);
  }
}

async function showObjects(bucket, prefix, cursor = null) {
  const query = new URLSearchParams({ prefix, delimiter: "/", limit: "200" });
  if (cursor !== null) query.set("cursor", cursor);
  const page = await call("GET", `/v1/objects/${encodeURIComponent(bucket)}?${query}`);
  Object.assign(state, { bucket, prefix, cursor: page.cursor });
  showPath();
  if (cursor === null) element("rows").replaceChildren();
  for (const below of page.prefixes) {
    const open = button(below.slice(prefix.length), () => showObjects(bucket, below), {
      link: true,
    });
    addRow([open, "", "", ""]);
  }
  for (const object of page.objects) addObject(object);
  element("more").hidden = page.cursor === null;
  const empty = element("rows").rows.length === 0;
  element("caption").textContent = empty ? "Nothing here yet" : `Objects in ${bucket}`;
}

function addObject({ key, size, createdAt }) {
  const name = key.slice(state.prefix.length);
  const actions = [
    button("Download", () => download(key), { label: `Download ${name}` }),
    " ",
    button("Delete", () => remove(key), { label: `Delete ${name}` }),
  ];
  addRow([name, formatBytes(size), new Date(createdAt).toLocaleString(), actions]);
}

function showPath() {
  const { bucket, prefix } = state;
  const steps = [button("Buckets", showBuckets, { link: true })];
  if (bucket !== "") steps.push(button(bucket, () => showObjects(bucket, ""), { link: true }));
  const segments = prefix.split("/").slice(0, -1);
  segments.forEach((segment, index) => {
    const below = `${segments.slice(0, index + 1).join("/")}/`;
    steps.push(button(segment, () => showObjects(bucket, below), { link: true }));
  });
  element("path").replaceChildren(...steps.flatMap((step) => [step, " / "]));
  element("drop").hidden = bucket === "";
}

/** By a grant of a few minutes, so that the browser saves the bytes and no page holds them. */
async function download(key) {
  const { bucket } = state;
  const wish = { bucket, key, actions: ["object:read"], methods: ["GET"], expiresIn: "5 min" };
  const { grant } = await call("POST", "/v1/grants", wish);
  const name = key.slice(key.lastIndexOf("/") + 1) || "download";
  const link = document.createElement("a");
  link.href = `${objectPath(key)}?${new URLSearchParams({ grant, download: name })}`;
  link.download = name;
  link.click();
}

async function remove(key) {
  if (!confirm(`Delete ${key} from ${state.bucket}?`)) return;
  await call("DELETE", objectPath(key));
  await showObjects(state.bucket, state.prefix);
  say(`${key} is deleted.`);
}

const queue = [];
let uploading = false;

/** One after the other, each to where the page was when it was dropped. */
async function upload(files) {
  if (state.bucket === "") throw new Error("Open a bucket first.");
  const { bucket, prefix } = state;
  for (const file of files) queue.push({ file, path: objectPath(prefix + file.name) });
  if (uploading) return;
  uploading = true;
  try {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) await send(next);
  } finally {
    uploading = false;
  }
  if (state.bucket === bucket && state.prefix === prefix) await showObjects(bucket, prefix);
}

function send({ file, path }) {
  const item = document.createElement("li");
  const bar = document.createElement("progress");
  bar.ariaLabel = `Upload of ${file.name}`;
  bar.max = file.size || 1;
  bar.value = 0;
  item.append(file.name, bar);
  element("uploads").append(item);
  return new Promise((resolve) => {
    // Not fetch: it tells nothing about the progress of a request.
    const request = new XMLHttpRequest();
    request.open("PUT", path);
    request.setRequestHeader("authorization", `Bearer ${state.credential}`);
    if (file.type !== "") request.setRequestHeader("content-type", file.type);
    request.upload.addEventListener("progress", ({ loaded }) => {
      bar.value = loaded;
    });
    request.addEventListener("loadend", () => {
      const done = request.status === 200 || request.status === 201;
      if (done) item.remove();
      else item.replaceChildren(`${file.name}: ${uploadRefusal(request)}`);
      resolve();
    });
    request.send(file);
  });
}

function uploadRefusal(request) {
  try {
    return JSON.parse(request.responseText).detail;
  } catch {
    return request.status === 0 ? "the connection broke" : `refused with ${request.status}`;
  }
}

function showSignedIn(signedIn) {
  element("sign-in").hidden = signedIn;
  element("browser").hidden = !signedIn;
  element("sign-out").hidden = !signedIn;
}

async function signIn() {
  state.credential = `${element("key-id").value.trim()}.${element("key-secret").value.trim()}`;
  await showBuckets();
  element("key-secret").value = "";
  showSignedIn(true);
}

const signInAttempt = attempt(signIn);
element("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  void signInAttempt();
});
element("sign-out").addEventListener("click", () => location.reload());
const showMore = () => showObjects(state.bucket, state.prefix, state.cursor);
element("more").addEventListener("click", attempt(showMore));
element("files").addEventListener(
  "change",
  attempt(async ({ target }) => {
    await upload([...target.files]);
    target.value = "";
  }),
);
const drop = element("drop");
for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    // Beside the target too: a dropped file must not replace the page.
    event.preventDefault();
    drop.classList.toggle("over", type === "dragenter" || type === "dragover");
  });
}
const uploadAttempt = attempt(upload);
document.addEventListener("drop", ({ dataTransfer }) => uploadAttempt([...dataTransfer.files]));
