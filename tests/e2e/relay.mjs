// relay.mjs - runs the Function that `cordon connect azure-function` wrote, as the Functions host would, between a
// flow and a running cordon; test_connect.c starts it in the Function's folder and judges what it prints.
//
//   CORDON=http://127.0.0.1:1234/hooks/relay node relay.mjs < [{"do": "relay" | "stream", "refuse": n, …}, …]
//
// Between the Function and cordon stands a front that answers the first `refuse` requests of each item with 503 (or
// `refusal`) and passes on the rest as they came. Prints one line of JSON for each item: {"attempts": [what the front saw], and the
// handler's "answer" or what it threw as "error"}.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';

const functions = {};
globalThis.azure = {
  http: (name, options) => { functions[name] = options; },
  eventHub: (name, options) => { functions[name] = options; },
};
mkdirSync('node_modules/@azure/functions', { recursive: true });
writeFileSync('node_modules/@azure/functions/index.js', 'exports.app = globalThis.azure;');

let refuse = 0, refusal = 503, attempts = [];
const front = createServer(async (request, response) => {
  const body = await text(request), h = request.headers;
  const seen = { id: h['webhook-id'], time: h['webhook-timestamp'], signature: h['webhook-signature'], body };
  attempts.push(seen);
  if (refuse > 0) {
    refuse--;
    seen.status = refusal;
    response.writeHead(refusal, { 'retry-after': '1' }).end();
    return;
  }
  const headers = {};
  for (const name of ['content-type', 'webhook-id', 'webhook-timestamp', 'webhook-signature']) headers[name] = h[name];
  const answer = await fetch(process.env.CORDON, { method: 'POST', headers, body });
  seen.status = answer.status;
  response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') }).end(await answer.text());
});
await new Promise((done) => front.listen(0, '127.0.0.1', done));
process.env.CORDON_URL = `http://127.0.0.1:${front.address().port}/`;

const { main } = JSON.parse(readFileSync('package.json', 'utf8'));
if (main !== 'src/functions/*.js') throw new Error(`package.json names ${main}`);
createRequire(`${process.cwd()}/x.js`)('./src/functions/relay.js');

const context = { error: (line) => console.error(line), log() {} };
for (const item of JSON.parse(readFileSync(0, 'utf8'))) {
  const out = { attempts: [] };
  attempts = out.attempts;
  refuse = item.refuse ?? 0;
  refusal = item.refusal ?? 503;
  process.env.CORDON_SECRETS = item.secrets ?? process.env.SECRETS;
  try {
    out.answer = await functions[item.do].handler(
      item.do === 'relay' ? { json: async () => JSON.parse(item.body) } : item.messages, context);
  } catch (e) {
    out.error = e.message;
  }
  console.log(JSON.stringify(out));
}
front.close();
front.closeAllConnections();
