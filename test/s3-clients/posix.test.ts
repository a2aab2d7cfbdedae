// Other people's S3 clients on a server over a disk.

import { openPosixBacking } from "../uploads/backing.ts";
import { testS3Clients } from "./suite.ts";

testS3Clients("on a disk", openPosixBacking);
