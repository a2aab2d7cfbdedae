// The SDK for Node against a server whose bytes are on a local disk.
import { openPosixBacking } from "../uploads/backing.ts";
import { describeNodeSdk } from "./node-cases.ts";

describeNodeSdk("a local disk", openPosixBacking, { direct: false });
