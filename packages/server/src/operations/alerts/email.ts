/** Alerts as plain mails, by nodemailer, which is loaded when the first is sent. */
import { isIP } from "node:net";
import { hostname } from "node:os";
import type { Transporter } from "nodemailer";
import type { AlertMessage, Sender } from "./channel.ts";

export interface EmailOptions {
  /** `smtp://HOST:PORT` or `smtps://USER:PASSWORD@HOST`. */
  readonly url: string;
  readonly from: string;
  readonly to: readonly string[];
  /** Of connecting, greeting and silence. */
  readonly msMax: number;
}

export function email({ url, from, to, msMax }: EmailOptions): Sender {
  let transport: Transporter | undefined;
  return {
    channel: "email",
    send: async (message, signal) => {
      const { createTransport } = await import("nodemailer");
      const times = { connectionTimeout: msMax, greetingTimeout: msMax, socketTimeout: msMax };
      transport ??= createTransport({ url, ...times, ...certificateOf(url) });
      await aborted(signal, transport.sendMail({ from, to: [...to], ...mailOf(message) }));
    },
    [Symbol.asyncDispose]: async () => transport?.close(),
  };
}

/** A relay on this machine has no certificate that anybody could check. */
function certificateOf(url: string) {
  const { hostname: host } = new URL(url);
  const isLocal = host === "localhost" || (isIP(host) === 4 && host.startsWith("127."));
  return isLocal ? { tls: { rejectUnauthorized: false } } : {};
}

function mailOf({ status, alert, server, environment, id }: AlertMessage) {
  const { name, severity, summary, message, since } = alert;
  const labels = Object.entries(alert.labels).map(([field, value]) => `${field} ${value}`);
  const about = [name, ...labels].join(", ");
  const state = status === "firing" ? severity.toUpperCase() : "RESOLVED";
  const rows = [
    ["alert", name],
    ["state", status === "firing" ? severity : "resolved"],
    ["since", since],
    ["server", `${server} (${hostname()})`],
    ...(environment === null ? [] : [["environment", environment]]),
    ...Object.entries({ ...alert.labels, ...alert.fields }).map(([field, value]) => [
      field,
      String(value),
    ]),
  ];
  return {
    subject: `[${state}] roma${environment === null ? "" : ` ${environment}`}: ${about}`,
    text: [
      `${summary}.`,
      "",
      message,
      "",
      ...rows.map((row) => row.join(": ")),
      "",
      help(name),
    ].join("\n"),
    headers: { "auto-submitted": "auto-generated" },
    // All of one alert in one thread.
    references: `<${id}@roma.alerts>`,
  };
}

function help(name: string): string {
  return `What it means and what to do: docs/operations.md, "${name}".`;
}

async function aborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    // Either of them may still fail; this was the answer.
    work.catch(() => {});
    promise.catch(() => {});
  }
}
