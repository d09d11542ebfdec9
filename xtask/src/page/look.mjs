// Looks at the pages of a daemon in a real Chromium: walks the three clicks, and fails on anything that is wrong.
//
// Arguments: the daemon's socket, the directory of the pictures, Chromium. Prints one JSON object with what was measured.
import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";
import { connect, createServer } from "node:net";

const require = createRequire(`${process.cwd()}/`);
const puppeteer = require("puppeteer-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const [socket, out, chromium] = process.argv.slice(2);
const SIZES = [[390, 844], [1280, 900], [1920, 1080]];
const wrong = [];
const measured = {};

// A tunnel, as `ssh -L` makes it.
const tunnel = createServer((near) => {
  const far = connect(socket);
  for (const [from, to] of [[near, far], [far, near]]) {
    from.pipe(to);
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
  }
});
await new Promise((ready) => tunnel.listen(0, "127.0.0.1", ready));
const url = `http://localhost:${tunnel.address().port}/`;

const browser = await puppeteer.launch({
  executablePath: chromium,
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});

async function open({ script = true, dark = false, size = SIZES[1] } = {}) {
  const page = await browser.newPage();
  await page.setJavaScriptEnabled(script);
  await page.setViewport({ width: size[0], height: size[1], isMobile: size[0] < 500, hasTouch: size[0] < 500 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }]);
  page.on("console", (message) => {
    if (["error", "warn"].includes(message.type())) wrong.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  page.on("request", (request) => {
    const to = request.url();
    if (!to.startsWith(url) && !to.startsWith("data:")) wrong.push(`request to ${to}`);
  });
  page.on("requestfailed", (request) => {
    const why = request.failure()?.errorText;
    if (why !== "net::ERR_ABORTED") wrong.push(`failed: ${request.url()} ${why}`);
  });
  return page;
}

async function check(page, name) {
  const found = await page.evaluate(async () => {
    const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    return { wide, title: document.title, h1: document.querySelector("h1")?.textContent };
  });
  if (found.wide > 0) wrong.push(`${name}: ${found.wide} px wider than the window`);
  // The policy of the pages forbids scripts of others, and axe is one: this world is not theirs.
  const session = await page.createCDPSession();
  const { frameTree } = await session.send("Page.getFrameTree");
  const { executionContextId } = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id });
  const run = async (expression) => {
    const answer = await session.send("Runtime.evaluate", {
      contextId: executionContextId, expression, awaitPromise: true, returnByValue: true,
    });
    if (answer.exceptionDetails) throw new Error(JSON.stringify(answer.exceptionDetails));
    return answer.result.value;
  };
  await run(`${axe};0`);
  const violations = await run(
    `axe.run(document, { resultTypes: ["violations"] }).then((all) => all.violations.map((one) =>
      one.id + ": " + one.help + " at " + one.nodes.slice(0, 3).map((node) => node.target + " " + node.html.slice(0, 160)).join(" | ")))`,
  );
  for (const violation of violations) wrong.push(`${name}: axe: ${violation}`);
  measured[name] = { ...found, violations: violations.length };
}

async function shoot(page, name) {
  await page.screenshot({ path: `${out}/${name}.png` });
}

mkdirSync(out, { recursive: true });
const go = (page, to) => page.goto(to, { waitUntil: "load" });
const paint = (page) =>
  page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? null);

// The three clicks: the node, the container in most trouble, a kill.
const first = await open();
await go(first, url);
await first.waitForFunction(() => document.getElementById("live-state").textContent.startsWith("Live"));
measured.paint_ms = await paint(first);
measured.rows = await first.$$eval(".containers tbody tr", (rows) => rows.length);
await check(first, "node");
const before = await first.$eval("#live .kicker", (node) => node.textContent);
await first.waitForFunction((old) => document.querySelector("#live .kicker").textContent !== old, {}, before);
// Focus stays while the page follows.
await first.focus(".containers tbody a");
const focused = await first.evaluate(() => document.activeElement.getAttribute("href"));
const now = await first.$eval("#live .kicker", (node) => node.textContent);
await first.waitForFunction((old) => document.querySelector("#live .kicker").textContent !== old, {}, now);
const still = await first.evaluate(() => document.activeElement.getAttribute("href"));
if (still !== focused) wrong.push(`focus went from ${focused} to ${still}`);
const links = {
  container: await first.$eval(".containers tbody a", (link) => link.href),
  kill: await first.$$eval(".kills a", (all) => all[0]?.href ?? null),
};
await Promise.all([first.waitForNavigation(), first.keyboard.press("Enter")]);
if (first.url() !== links.container) wrong.push(`Enter led to ${first.url()}`);
await check(first, "container");
const member = await first.$$eval(".processes a", (all) => all[0]?.href ?? null);
await first.close();

const pages = { node: url, container: links.container, process: member, kill: links.kill, none: `${url}explain/no-such-thing` };
for (const [name, to] of Object.entries(pages)) {
  if (!to) {
    measured[name] ??= "no such page here";
    continue;
  }
  for (const size of SIZES) {
    for (const dark of [false, true]) {
      const page = await open({ size, dark });
      if (name === "none") page.removeAllListeners("console");
      await go(page, to);
      const label = `${name}-${size[0]}${dark ? "-dark" : ""}`;
      await check(page, label);
      await shoot(page, label);
      await page.close();
    }
  }
  const plain = await open({ script: false });
  if (name === "none") plain.removeAllListeners("console");
  await go(plain, to);
  await shoot(plain, `${name}-no-script`);
  await plain.close();
}
await browser.close();
tunnel.close();
console.log(JSON.stringify({ measured, wrong: [...new Set(wrong)] }, null, 1));
process.exitCode = wrong.length > 0 ? 1 : 0;
