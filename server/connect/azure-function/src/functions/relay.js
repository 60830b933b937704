// Signs alerts and pushes them to cordon (Standard Webhooks, https://www.standardwebhooks.com).
//
// Two ways in: `relay`, called over HTTP by a flow with the function's key, and `stream`, Defender's streaming API
// through an Event Hub. App settings: CORDON_URL, CORDON_SECRETS and, for the stream, DEFENDER_EVENT_HUB and the
// connection DefenderEventHub; README.md tells what they hold.
'use strict';
const { app } = require('@azure/functions');
const { createHmac, createPrivateKey, sign } = require('node:crypto');

const ATTEMPTS = 5;          // 1 + 2 + 4 + 8 s between them: a flow waits two minutes for its answer
const ATTEMPT_MS = 10000;    // the receiver answers within seconds or not at all
const WAIT_MAX_MS = 20000;
const ALERT_ID = /^[A-Za-z0-9_.-]{1,128}$/; // as cordon takes them; and they stand in a header
const MACHINE_ID = /^([0-9a-fA-F]{32,64})?$/; // a flow sends "" for an alert without one
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');

function setting(name) {
  const value = process.env[name];
  if (!value || value.startsWith('@Microsoft.KeyVault'))
    throw new Error(`app setting ${name} is missing, or its Key Vault reference is not resolved`);
  return value;
}

// One signer for each secret, newest first: while a secret changes, both sign. whsec_ is shared with cordon,
// whsk_ is a private key of which cordon knows the public half alone.
function signers() {
  return setting('CORDON_SECRETS').split(/[\s,]+/).filter(Boolean).map((text) => {
    if (!text.startsWith('whsk_')) {
      const key = Buffer.from(text.replace(/^whsec_/, ''), 'base64');
      return (bytes) => 'v1,' + createHmac('sha256', key).update(bytes).digest('base64');
    }
    const seed = Buffer.from(text.slice(5), 'base64').subarray(0, 32);
    const key = createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, seed]), format: 'der', type: 'pkcs8' });
    return (bytes) => 'v1a,' + sign(null, Buffer.from(bytes), key).toString('base64');
  });
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const isForLater = (status) => status === 408 || status === 429 || status >= 500;

// The last answer of cordon; throws when there was none. The id is that of what is said, so that a retry, a resubmitted
// run and the stream's replay are one delivery to cordon; time and signatures are made for each attempt.
async function push(alertId, machineId) {
  const url = setting('CORDON_URL'), makers = signers();
  const body = JSON.stringify({ alertId, machineId });
  const id = `alert-${alertId}${machineId ? `-${machineId}` : ''}`.replaceAll('.', ':');

  for (let attempt = 1; ; attempt++) {
    const time = Math.floor(Date.now() / 1000);
    let wait = 1000 * 2 ** (attempt - 1), answer, failure;
    try {
      answer = await fetch(url, {
        method: 'POST', body, redirect: 'error', signal: AbortSignal.timeout(ATTEMPT_MS),
        headers: {
          'content-type': 'application/json', 'webhook-id': id, 'webhook-timestamp': `${time}`,
          'webhook-signature': makers.map((make) => make(`${id}.${time}.${body}`)).join(' '),
        },
      });
      answer.text = await answer.text();
      if (!isForLater(answer.status)) return answer;
      wait = Number(answer.headers.get('retry-after')) * 1000 || wait;
    } catch (e) {
      failure = e;
    }
    if (attempt === ATTEMPTS) {
      if (failure) throw failure;
      return answer;
    }
    await pause(Math.min(wait, WAIT_MAX_MS));
  }
}

// What cordon said goes back to the flow, which decides by the status; with `reply: status` it polls `location`.
function passOn(answer) {
  const headers = {};
  for (const name of ['content-type', 'location', 'retry-after'])
    if (answer.headers.get(name)) headers[name] = answer.headers.get(name);
  return { status: answer.status, headers, body: answer.text };
}

app.http('relay', {
  methods: ['POST'],
  authLevel: 'function',
  handler: async (request, context) => {
    let alert;
    try {
      alert = await request.json();
    } catch {
      return { status: 400, jsonBody: { detail: 'expected JSON' } };
    }
    const alertId = alert?.alertId ?? alert?.id, machineId = alert?.machineId ?? '';
    if (![alertId, machineId].every((id) => typeof id === 'string') || !ALERT_ID.test(alertId) || !MACHINE_ID.test(machineId))
      return { status: 400, jsonBody: { detail: 'expected {"alertId": "…", "machineId": "…"}' } };
    try {
      return passOn(await push(alertId, machineId || undefined));
    } catch (e) {
      context.error(`alert ${alertId} was not pushed: ${e.message}`);
      return { status: 503, headers: { 'retry-after': '30' }, jsonBody: { detail: 'cordon is out of reach' } };
    }
  },
});

// Rows of AlertInfo hold no machine: cordon reads it from Defender. An alert that cordon refuses for good must not
// hold up the others of its batch, so what is thrown is thrown at the end, and then the whole batch comes again.
async function stream(messages, context) {
  const failed = [];
  for (const message of messages)
    for (const row of message?.records ?? []) {
      if (row.category !== 'AdvancedHunting-AlertInfo' ||
          row.properties?.ServiceSource !== 'Microsoft Defender for Endpoint') continue;
      const alertId = row.properties.AlertId;
      try {
        const { status } = await push(alertId);
        if (status >= 300) context.error(`alert ${alertId}: cordon answered ${status}`);
        if (isForLater(status) || [401, 403, 404].includes(status)) failed.push(alertId);
      } catch (e) {
        context.error(`alert ${alertId} was not pushed: ${e.message}`);
        failed.push(alertId);
      }
    }
  if (failed.length) throw new Error(`not pushed: ${failed.join(', ')}`);
}

if (process.env.DEFENDER_EVENT_HUB)
  app.eventHub('stream', {
    connection: 'DefenderEventHub',
    eventHubName: '%DEFENDER_EVENT_HUB%',
    cardinality: 'many',
    retry: { strategy: 'exponentialBackoff', maxRetryCount: 10, minimumInterval: { seconds: 10 }, maximumInterval: { minutes: 10 } },
    handler: stream,
  });
