/** The command line's promises against the SDK's server in memory. */
import { startMemoryServer } from "../../sdk/src/node/testing.ts";
import { describeCommandLine } from "./testing.ts";

describeCommandLine("the command line, server in memory", startMemoryServer);
