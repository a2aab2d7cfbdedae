// A route handler of Next.js: a signed-in user gets a grant for his own folder.
import { mintGrant } from "@roma/sdk/server";

export const runtime = "nodejs";

/** Your own session goes here. */
const userOf = (_request) => "ann";

export async function POST(request) {
  const user = userOf(request);
  if (user === undefined) return new Response(null, { status: 401 });
  const { ROMA_URL = "http://127.0.0.1:8420", ROMA_KEY = "" } = process.env;
  const [keyId, secret] = ROMA_KEY.split(":");
  const grant = mintGrant({
    keyId,
    secret,
    bucket: "demo",
    template: `users/${user}/{date}/{uuid}{ext}`,
    actions: ["object:write"],
    contentTypes: ["image/*", "text/*"],
    maxBytes: 20_000_000,
    count: 20,
    context: { user },
    lifetimeSeconds: 3600,
  });
  return Response.json({ url: ROMA_URL, grant });
}
