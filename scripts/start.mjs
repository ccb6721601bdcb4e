// `npm start`: set-up, then `hypercore dev` with the arguments given, until it ends.
import "./node-version.mjs";
import { join } from "node:path";
import { passThrough, root } from "./children.mjs";
import { setup } from "./setup.mjs";

if (!(await setup())) process.exit(1);
process.exitCode = await passThrough([process.execPath, join(root, "bin", "run.js"), "dev", ...process.argv.slice(2)]);
