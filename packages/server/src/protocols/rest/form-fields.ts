/**
 * The fields of a form that say something about the files after them. `prefix`, and a `key` with
 * `${filename}` in it, hold until given again; everything else is for the next file alone.
 */
import { OperationalError } from "../../core/errors.ts";
import { type ObjectKey, parseKey } from "../../core/object-key.ts";
import type { DigestName, Digests } from "../../core/ports/storage-driver.ts";
import type { FormPart } from "../../http/multipart-form.ts";
import { contentTypeField } from "./content-type-field.ts";
import { emptyMetadata, isMetadataField, metadataName } from "./user-metadata.ts";

export interface FileDescription {
  readonly key: ObjectKey;
  readonly contentType: string | undefined;
  readonly userMetadata: Readonly<Record<string, string>>;
  readonly digests: Digests;
}

// biome-ignore lint/suspicious/noTemplateCurlyInString: S3's own spelling, taken literally.
const template = "${filename}";

/** Fields that carry a digest of the next file, in hex or base64. */
const digestFields: Readonly<
  Record<string, { readonly name: DigestName; readonly bytes: number }>
> = {
  md5: { name: "md5", bytes: 16 },
  "sha-256": { name: "sha256", bytes: 32 },
  sha256: { name: "sha256", bytes: 32 },
  crc64nvme: { name: "crc64nvme", bytes: 8 },
};

export interface FormFieldsOptions {
  /** Of a file for which the form names neither `key` nor `prefix`; left out: the file's name. */
  readonly keyFor?: (fileName: string) => ObjectKey;
}

export class FormFields {
  readonly #keyFor: FormFieldsOptions["keyFor"];
  #prefix = "";
  #key: string | undefined;
  #contentType: string | undefined;
  #metadata = emptyMetadata();
  #digests: Partial<Record<DigestName, Uint8Array>> = {};

  constructor({ keyFor }: FormFieldsOptions = {}) {
    this.#keyFor = keyFor;
  }

  /** Fields that mean nothing here, such as the name of the button, are ignored. */
  set(name: string, value: string): void {
    const field = name.toLowerCase();
    const digest = Object.hasOwn(digestFields, field) ? digestFields[field] : undefined;
    if (field === "key") this.#key = value;
    else if (field === "prefix") this.#prefix = value;
    else if (field === "content-type") this.#contentType = value;
    else if (isMetadataField(name)) this.#metadata[metadataName(name)] = value;
    else if (digest !== undefined)
      this.#digests[digest.name] = parseDigest(field, value, digest.bytes);
  }

  /** What is known of the file; fields for one file are used up. `invalid_key`, `invalid_request`. */
  take(file: FormPart): FileDescription {
    const fileName = lastSegment(file.fileName ?? "");
    const description = {
      key: parseKey(this.#keyOf(fileName)),
      contentType: contentTypeField(this.#contentType ?? file.contentType),
      userMetadata: this.#metadata,
      digests: this.#digests,
    };
    if (this.#key?.includes(template) !== true) this.#key = undefined;
    this.#contentType = undefined;
    this.#metadata = emptyMetadata();
    this.#digests = {};
    return description;
  }

  /** A key or digest after the last file was meant for a file that had already been stored. */
  assertAllUsed(): void {
    const keyLeft = this.#key !== undefined && !this.#key.includes(template);
    if (!keyLeft && Object.keys(this.#digests).length === 0) return;
    throw new OperationalError(
      "invalid_request",
      `the form has a field ${keyLeft ? "key" : "with a digest"} that no file follows`,
    );
  }

  #keyOf(fileName: string): string {
    if (this.#key?.includes(template) === true)
      return this.#key.replaceAll(template, () => fileName);
    if (this.#key !== undefined) return this.#key;
    if (this.#prefix === "" && this.#keyFor !== undefined) return this.#keyFor(fileName);
    if (fileName === "") {
      throw new OperationalError("invalid_request", "a file of the form has no name");
    }
    return this.#prefix + fileName;
  }
}

/** Browsers of old sent the whole path, with the separators of their system. */
function lastSegment(name: string): string {
  return name.slice(Math.max(name.lastIndexOf("/"), name.lastIndexOf("\\")) + 1);
}

function parseDigest(field: string, value: string, length: number): Uint8Array {
  const text = value.trim();
  const isHex = text.length === length * 2 && /^[0-9a-f]*$/i.test(text);
  const bytes = Buffer.from(text, isHex ? "hex" : "base64");
  const same = isHex || bytes.toString("base64").replace(/=+$/, "") === text.replace(/=+$/, "");
  if (same && bytes.length === length) return bytes;
  throw new OperationalError(
    "invalid_request",
    `form: field ${field} is not ${length} bytes in hex or base64`,
    { context: { field } },
  );
}
