/** Content types by extension, for common files; what is not here is left to the server's look. */

const extensionsByType: Readonly<Record<string, string>> = {
  "application/epub+zip": "epub",
  "application/gzip": "gz tgz",
  "application/java-archive": "jar",
  "application/json": "json map",
  "application/msword": "doc",
  "application/ogg": "ogx",
  "application/pdf": "pdf",
  "application/rtf": "rtf",
  "application/vnd.android.package-archive": "apk",
  "application/vnd.ms-excel": "xls",
  "application/vnd.ms-powerpoint": "ppt",
  "application/vnd.oasis.opendocument.presentation": "odp",
  "application/vnd.oasis.opendocument.spreadsheet": "ods",
  "application/vnd.oasis.opendocument.text": "odt",
  "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
  "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
  "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
  "application/vnd.rar": "rar",
  "application/wasm": "wasm",
  "application/x-7z-compressed": "7z",
  "application/x-bzip2": "bz2",
  "application/x-ndjson": "ndjson jsonl",
  "application/x-sh": "sh",
  "application/x-tar": "tar",
  "application/x-xz": "xz",
  "application/xml": "xml xsl",
  "application/yaml": "yaml yml",
  "application/zip": "zip",
  "application/zstd": "zst",
  "audio/aac": "aac",
  "audio/flac": "flac",
  "audio/midi": "mid midi",
  "audio/mp4": "m4a",
  "audio/mpeg": "mp3",
  "audio/ogg": "oga ogg opus",
  "audio/wav": "wav",
  "audio/webm": "weba",
  "font/otf": "otf",
  "font/ttf": "ttf",
  "font/woff": "woff",
  "font/woff2": "woff2",
  "image/apng": "apng",
  "image/avif": "avif",
  "image/bmp": "bmp",
  "image/gif": "gif",
  "image/heic": "heic",
  "image/jpeg": "jpg jpeg",
  "image/jxl": "jxl",
  "image/png": "png",
  "image/svg+xml": "svg",
  "image/tiff": "tif tiff",
  "image/vnd.microsoft.icon": "ico",
  "image/webp": "webp",
  "text/calendar": "ics",
  "text/css": "css",
  "text/csv": "csv",
  "text/html": "html htm",
  "text/javascript": "js mjs",
  "text/markdown": "md",
  "text/plain": "txt log text",
  "text/tab-separated-values": "tsv",
  "text/vcard": "vcf",
  "text/vtt": "vtt",
  "video/mp4": "mp4 m4v",
  "video/mpeg": "mpeg mpg",
  "video/ogg": "ogv",
  "video/quicktime": "mov",
  "video/webm": "webm",
  "video/x-matroska": "mkv",
  "video/x-msvideo": "avi",
};

const types: ReadonlyMap<string, string> = new Map(
  Object.entries(extensionsByType).flatMap(([type, extensions]) =>
    extensions.split(" ").map((extension): [string, string] => [extension, type]),
  ),
);

/** The type of the first name whose extension is known. */
export function contentTypeOf(...names: readonly string[]): string | undefined {
  for (const name of names) {
    const extension = name.match(/\.([^./\\]+)$/)?.[1]?.toLowerCase();
    const type = extension === undefined ? undefined : types.get(extension);
    if (type !== undefined) return type;
  }
  return undefined;
}
