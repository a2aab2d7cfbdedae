// Other people's tus clients against uploads on a disk.

import { openPosixBacking } from "./backing.ts";
import { describeBrowserClients } from "./browser-clients.ts";
import { describeNodeClient } from "./clients.ts";

describeNodeClient("on a disk", openPosixBacking);
describeBrowserClients("on a disk", openPosixBacking);
