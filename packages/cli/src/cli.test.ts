/** The command line's promises against the SDK's server in memory. */
import { startMemoryServer } from "../../sdk/src/node/memory-server.ts";
import { describeCommandLine } from "./command-line-suite.ts";

describeCommandLine("the command line, server in memory", startMemoryServer);
