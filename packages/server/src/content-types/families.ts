/** Types that the same first bytes can be: a declaration within a family refines, across refuses. */

const families: Readonly<Record<string, readonly string[]>> = {
  zip: [
    "application/zip",
    "application/x-zip-compressed",
    "application/java-archive",
    "application/epub+zip",
    "application/vnd.android.package-archive",
    "application/x-xpinstall",
  ],
  compound: [
    "application/x-cfb",
    "application/msword",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    "application/vnd.ms-outlook",
    "application/x-msi",
  ],
  gzip: ["application/gzip", "application/x-gzip", "application/x-gtar", "application/x-tgz"],
  mp4: [
    "video/mp4",
    "audio/mp4",
    "audio/x-m4a",
    "video/x-m4v",
    "video/quicktime",
    "video/3gpp",
    "video/3gpp2",
    "audio/aac",
  ],
  heif: ["image/heic", "image/heif", "image/heic-sequence", "image/heif-sequence", "image/avif"],
  matroska: ["video/webm", "audio/webm", "video/matroska", "video/x-matroska", "audio/x-matroska"],
  ogg: ["application/ogg", "audio/ogg", "video/ogg", "audio/opus", "audio/ogg; codecs=opus"],
  mpegAudio: ["audio/mpeg", "audio/mp3", "audio/mpeg3", "audio/x-mpeg-3"],
  wav: ["audio/wav", "audio/x-wav", "audio/vnd.wave", "audio/wave"],
  jpeg: ["image/jpeg", "image/jpg", "image/pjpeg"],
  png: ["image/png", "image/x-png", "image/apng"],
  bmp: ["image/bmp", "image/x-ms-bmp", "image/x-bmp"],
  icon: ["image/x-icon", "image/vnd.microsoft.icon"],
  rtf: ["application/rtf", "text/rtf"],
  flac: ["audio/flac", "audio/x-flac"],
  avi: ["video/vnd.avi", "video/x-msvideo", "video/avi"],
  bzip2: ["application/x-bzip2", "application/x-bzip"],
  tar: ["application/x-tar", "application/tar"],
  sevenZip: ["application/x-7z-compressed"],
  rar: ["application/x-rar-compressed", "application/vnd.rar", "application/x-rar"],
  wasm: ["application/wasm"],
};

const familyByType = new Map(
  Object.entries(families).flatMap(([family, types]) =>
    types.map((type) => [type, family] as const),
  ),
);

/** A name shared by types whose first bytes look alike; the type itself if it has no relatives. */
export function familyOf(type: string): string {
  const known = familyByType.get(type);
  if (known !== undefined) return known;
  const isOffice =
    type.startsWith("application/vnd.openxmlformats-officedocument.") ||
    type.startsWith("application/vnd.oasis.opendocument.") ||
    type.startsWith("application/vnd.ms-word.") ||
    type.endsWith("+zip");
  return isOffice ? "zip" : type;
}

/** Formats with a magic number that is never missing: without it the bytes are something else. */
const recognised: ReadonlySet<string> = new Set([
  ...[
    "jpeg",
    "png",
    "bmp",
    "heif",
    "matroska",
    "gzip",
    "zip",
    "flac",
    "sevenZip",
    "rar",
    "wasm",
  ].flatMap((family) => families[family] ?? []),
  "image/gif",
  "image/webp",
  "image/tiff",
  "application/pdf",
  "video/mp4",
]);

export function isAlwaysRecognised(type: string): boolean {
  return recognised.has(type);
}
