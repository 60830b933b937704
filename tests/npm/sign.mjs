// sign.mjs - requests as the public libraries of senders sign them, for tests/e2e/test_npm.c. Run in build/npm.
//
// Reads {"whsec": …, "text": …, "tenant": …, "audience": …, "client": …}; prints {"jwks": the key that jose signed
// with, "requests": [{"source", "proof": the header whose change must be noticed, "headers": ["name: value"], "body"}]}.
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { createRequire } from 'node:module';

const from = createRequire(`${process.cwd()}/x.js`);
const load = (name) => import(pathToFileURL(from.resolve(name)));
const { whsec, text, tenant, audience, client } = JSON.parse(readFileSync(0, 'utf8'));
const { Webhook: StandardWebhook } = await load('standardwebhooks');
const { Webhook: SvixWebhook } = await load('svix');
const { sign: signAsGitHub } = await import(
  pathToFileURL(`${process.cwd()}/node_modules/@octokit/webhooks-methods/dist-node/index.js`));
const { default: Stripe } = await load('stripe');
const { SignJWT, exportJWK, generateKeyPair } = await load('jose');

const now = new Date(), requests = [];
// What JSON libraries write differently must not matter: blanks and letters beyond ASCII are part of what is signed.
const bodyOf = (n) => JSON.stringify({ alertId: `da${n}_-1`, source: 'Überwachung ☃', note: 'a  b' }, null, n);

{
  const body = bodyOf(1);
  requests.push({ source: 'standardwebhooks', proof: 'webhook-signature', body, headers: [
    'webhook-id: msg_1', `webhook-timestamp: ${Math.floor(now / 1000)}`,
    `webhook-signature: ${new StandardWebhook(whsec).sign('msg_1', now, body)}`] });
}
{
  const body = bodyOf(2);
  requests.push({ source: 'svix', proof: 'svix-signature', body, headers: [
    'svix-id: msg_2', `svix-timestamp: ${Math.floor(now / 1000)}`,
    `svix-signature: ${new SvixWebhook(whsec).sign('msg_2', now, body)}`] });
}
{
  const body = bodyOf(3);
  requests.push({ source: 'github', proof: 'x-hub-signature-256', body, headers: [
    'x-github-delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958',
    `x-hub-signature-256: ${await signAsGitHub(text, body)}`] });
}
{
  const body = bodyOf(4);
  requests.push({ source: 'stripe', proof: 'stripe-signature', body, headers: [
    `stripe-signature: ${Stripe.webhooks.generateTestHeaderString({ payload: body, secret: text })}`] });
}
const { publicKey, privateKey } = await generateKeyPair('RS256', { modulusLength: 2048 });
const jwk = { ...await exportJWK(publicKey), use: 'sig', kid: 'jose-1' };
{
  const token = await new SignJWT({ azp: client, azpacr: '1', oid: client, tid: tenant, ver: '2.0' })
    .setProtectedHeader({ typ: 'JWT', alg: 'RS256', kid: jwk.kid })
    .setIssuer(`https://login.microsoftonline.com/${tenant}/v2.0`).setAudience(audience).setSubject(client)
    .setIssuedAt().setNotBefore('0s').setExpirationTime('1h').sign(privateKey);
  requests.push({ source: 'jose', proof: 'authorization', body: bodyOf(5), headers: [`authorization: Bearer ${token}`] });
}
console.log(JSON.stringify({ jwks: { keys: [jwk] }, requests }));
