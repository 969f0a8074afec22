// CompatCanary, a scanner of OpenAI-style APIs by somebody else (https://github.com/CognizenOrg/compatcanary).

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { baseURL } from "./client.js";

const cli = fileURLToPath(new URL("./cli.js", import.meta.resolve("compatcanary")));

/** Its report on one of its profiles, with a key of that kind. */
async function scanned(profile, key) {
  const options = ["--base-url", baseURL, "--model", "gpt-4", "--profile", profile, "--format", "json"];
  const env = { ...process.env, OPENAI_API_KEY: key };
  const { stdout } = await promisify(execFile)(process.execPath, [cli, "scan", ...options, "--fail-on", "never"], { env });
  return JSON.parse(stdout);
}

for (const [mode, key] of [
  ["live", process.env.FUSIONAI_TEST_LIVE_KEY],
  ["test", process.env.FUSIONAI_TEST_SANDBOX_KEY],
]) {
  for (const profile of ["chat", "modern"]) {
    test(`a scan of the ${profile} profile finds nothing with a ${mode} key`, async () => {
      const report = await scanned(profile, key);
      assert.equal(report.score, 100, JSON.stringify(report, null, 2));
      assert.equal(report.compatible, true);
    });
  }
}
