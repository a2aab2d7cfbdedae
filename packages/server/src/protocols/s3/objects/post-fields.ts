/** The fields of a form before its file: a bounded number of bytes, each name once. */
import type { FormPart } from "../../../http/multipart-form.ts";
import { refusal } from "../errors.ts";
import type { Fields } from "./described.ts";
import { invalidArgument } from "./refusals.ts";

/** Names and values together; as AWS has it. */
const fieldsBytesMax = 20 * 1024;

export interface PostFields extends Fields {
  /** By lower-case name, as Unicode text. */
  readonly all: ReadonlyMap<string, string>;
  text(name: string): string | undefined;
  /** `NotImplemented`, `AccessControlListNotSupported`, `InvalidStorageClass`. */
  assertOffered(): void;
}

const refusedNames =
  /^(?:x-amz-(?:server-side-encryption.*|object-lock-.*|website-redirect-location|grant-.*))$/;
const acceptedAcls = ["private", "bucket-owner-full-control"];

export class FormFields implements PostFields {
  readonly #fields = new Map<string, string>();
  #bytes = 0;

  get all(): ReadonlyMap<string, string> {
    return this.#fields;
  }

  /** `MaxPostPreDataLengthExceeded`; `InvalidArgument` for a name that was there before. */
  async add(part: FormPart): Promise<void> {
    const name = part.name.toLowerCase();
    this.#bytes += Buffer.byteLength(name);
    const chunks: Uint8Array[] = [];
    for await (const chunk of part.body) {
      this.#bytes += chunk.length;
      if (this.#bytes > fieldsBytesMax) break;
      chunks.push(chunk);
    }
    if (this.#bytes > fieldsBytesMax) {
      throw refusal(
        "MaxPostPreDataLengthExceeded",
        "Your POST request fields preceding the upload file were too large.",
        { fields: { MaxPostPreDataLengthBytes: fieldsBytesMax } },
      );
    }
    // A condition would be held against one of the two, and the other one used.
    if (this.#fields.has(name)) {
      throw invalidArgument(`The form has the field ${name} twice`, { ArgumentName: name });
    }
    this.#fields.set(name, utf8(Buffer.concat(chunks)));
  }

  text(name: string): string | undefined {
    return this.#fields.get(name);
  }

  /** As a header would have come: the bytes of UTF-8 as Latin-1. */
  get(name: string): string | undefined {
    const text = this.#fields.get(name);
    return text === undefined ? undefined : Buffer.from(text).toString("latin1");
  }

  names(prefix: string): readonly string[] {
    return [...this.#fields.keys()].filter((name) => name.startsWith(prefix));
  }

  assertOffered(): void {
    const refused = [...this.#fields.keys()].find((name) => refusedNames.test(name));
    if (refused !== undefined) {
      throw refusal("NotImplemented", "A field of the form asks for what is not implemented", {
        fields: { Header: refused },
      });
    }
    const acl = this.text("acl") ?? this.text("x-amz-acl");
    if (acl !== undefined && !acceptedAcls.includes(acl)) {
      throw refusal("AccessControlListNotSupported", "access control lists are not offered");
    }
    const storageClass = this.text("x-amz-storage-class");
    if (storageClass !== undefined && storageClass !== "STANDARD") {
      throw refusal("InvalidStorageClass", "the only storage class is STANDARD");
    }
  }
}

function utf8(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw refusal("MalformedPOSTRequest", "A field of the form is not UTF-8");
  }
}
