// The page: Uppy's Dashboard, which uploads to Roma with the grant that the backend gave.
import AwsS3 from "@uppy/aws-s3";
import Uppy from "@uppy/core";
import Dashboard from "@uppy/dashboard";
import "@uppy/dashboard/css/style.min.css";

const answer = await fetch("/grant", { method: "POST" });
const { url, grant } = await answer.json();

new Uppy()
  .use(Dashboard, { inline: true, target: "#uppy" })
  .use(AwsS3, { companionEndpoint: `${url}/companion/~${grant}` });
