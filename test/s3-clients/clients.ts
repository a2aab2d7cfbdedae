/** Every client that is tried, the slowest first. */
import { awsCli } from "./aws-cli.ts";
import { awsSdkJs } from "./aws-sdk-js/index.ts";
import { boto3, boto3Crt } from "./boto3.ts";
import type { S3ClientTests } from "./client.ts";
import { minioJs } from "./minio-js.ts";
import { rclone } from "./rclone.ts";
import { s3cmd } from "./s3cmd.ts";
import { s3fs } from "./s3fs.ts";

export const clients: readonly S3ClientTests[] = [
  awsCli,
  awsSdkJs,
  boto3,
  minioJs,
  s3fs,
  rclone,
  s3cmd,
  boto3Crt,
];
