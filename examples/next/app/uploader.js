// Uploads that go on after a lost connection, with Uppy over tus. Answers what ends it.
import Uppy from "@uppy/core";
import Dashboard from "@uppy/dashboard";
import Tus from "@uppy/tus";

export async function mountUploader(target) {
  const answer = await fetch("/api/grant", { method: "POST" });
  const { url, grant } = await answer.json();
  const uppy = new Uppy().use(Dashboard, { inline: true, target }).use(Tus, {
    endpoint: `${url}/tus/demo`,
    headers: { Authorization: `Bearer ${grant}` },
  });
  return () => uppy.destroy();
}
