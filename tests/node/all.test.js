// The whole suite in one process: its parts order the simulator's faults, so they run one after the other.

import "./chat.js";
import "./errors.js";
import "./things.js";
import "./stream.js";
import "./responses.js";
import "./documents.js";
import "./scan.js";
