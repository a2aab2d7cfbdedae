/** Direct uploads as front ends and the server use them. */
export { DirectUploads, signedMax } from "./direct-uploads.ts";
export { partSignaturePurpose } from "./part-signatures.ts";
export type {
  BeginDirectRequest,
  Challenge,
  CompleteDirectRequest,
  CompletedDirect,
  DirectPart,
  DirectView,
  DirectWay,
  FormRequest,
  PartRequest,
  SignedDirect,
} from "./requests.ts";
