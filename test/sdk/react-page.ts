/** A component with `useUpload`, for the test in Chromium. The server is in the address, after the `#`. */
import { Roma } from "@roma/sdk";
import { useUpload } from "@roma/sdk/react";
import { createElement, StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";

declare const document: { title: string; getElementById(id: string): Element };
declare const location: { readonly hash: string };

const options: unknown = JSON.parse(decodeURIComponent(location.hash.slice(1)));
const roma = new Roma(options as ConstructorParameters<typeof Roma>[0]);

function button(id: string, onClick: () => void) {
  return createElement("button", { type: "button", id, key: id, onClick }, id);
}

function Sender() {
  const sending = useUpload(roma, { cancelOnUnmount: true });
  const { state, progress, result, error, notices } = sending;
  const begin = (key: string, bytes: number) => () =>
    sending.upload(new File([new Uint8Array(bytes)], key), { bucket: "demo", key });
  const shown = { state, bytes: progress?.bytes, size: result?.size, notices, error: `${error}` };
  return [
    button("small", begin("small", 1000)),
    button("large", begin("large", 40_000_000)),
    button("pause", sending.pause),
    button("resume", sending.resume),
    button("cancel", sending.cancel),
    button("reset", sending.reset),
    createElement("output", { key: "output" }, JSON.stringify(shown)),
  ];
}

function Page() {
  const [there, setThere] = useState(true);
  return [
    button("leave", () => setThere(false)),
    there
      ? createElement(Sender, { key: "sender" })
      : createElement("output", { key: "gone" }, "{}"),
  ];
}

const root = createRoot(document.getElementById("root"));
root.render(createElement(StrictMode, null, createElement(Page)));
document.title = "ready";
