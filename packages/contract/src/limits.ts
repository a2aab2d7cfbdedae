/** Limits that a client can rely on, because every Roma server has them. */

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
export const TiB = 1024 * GiB;

/** UTF-8 bytes of a key. The same as AWS S3. */
export const keyBytesMax = 1024;

/** Bytes of all user metadata of an object, names and UTF-8 values added up. The same as AWS S3. */
export const userMetadataBytesMax = 2 * KiB;

/** Objects on one page of a list. */
export const listLimitMax = 1000;

/** Keys in one batch delete. */
export const batchDeleteKeysMax = 1000;

/** Bytes of one object. */
export const objectBytesMax = 5 * TiB;
