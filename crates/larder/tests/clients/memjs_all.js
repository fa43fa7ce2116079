// All operations of memjs: `memjs_all.js PORT`. Any other answer than the right one fails.
'use strict';

const assert = require('assert');
const memjs = require('memjs');

const BULK_ITEMS = 3000;
const BULK_VALUE_BYTES = 500;
/// Requests on their way at a time.
const BULK_PIPELINE = 50;

const quiet = { log: () => {} };

async function fails(promise, pattern) {
  await assert.rejects(promise, (error) => pattern.test(error.message));
}

async function storage(client) {
  const text = async (key) => {
    const { value } = await client.get(key);
    return value === null ? null : value.toString();
  };
  assert.strictEqual(await client.set('a', '1'), true);
  assert.strictEqual(await text('a'), '1');
  assert.strictEqual(await text('missing'), null);
  assert.strictEqual(await client.add('a', '2'), false);
  assert.strictEqual(await client.add('b', '2'), true);
  assert.strictEqual(await client.replace('b', '3'), true);
  assert.strictEqual(await client.replace('missing', '3'), false);
  assert.strictEqual(await client.append('b', '4'), true);
  assert.strictEqual(await client.prepend('b', '2'), true);
  // memjs sends the opcode of append for prepend.
  assert.strictEqual(await text('b'), '342');
  await fails(client.append('missing', 'x'), /not stored/);
  await fails(client.prepend('missing', 'x'), /not stored/);
  assert.strictEqual(await client.delete('b'), true);
  assert.strictEqual(await client.delete('b'), false);
  assert.strictEqual(await client.set('empty', ''), true);
  assert.strictEqual(await text('empty'), '');
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, number) => number));
  assert.strictEqual(await client.set('bytes', bytes), true);
  assert.ok((await client.get('bytes')).value.equals(bytes));
  const large = Buffer.alloc(1024 * 1024 - 1024, 'v');
  assert.strictEqual(await client.set('large', large), true);
  assert.ok((await client.get('large')).value.equals(large));
  await fails(client.set('large', Buffer.alloc(1024 * 1024 + 1)), /Too large|Value too large/i);
  assert.strictEqual(await text('large'), null);
  const key = 'k'.repeat(250);
  assert.strictEqual(await client.set(key, 'long key'), true);
  assert.strictEqual(await text(key), 'long key');
  assert.strictEqual(await client.set('schlüssel', 'ü'), true);
  assert.strictEqual(await text('schlüssel'), 'ü');
  assert.strictEqual(await text('a'), '1');
}

async function arithmetic(client) {
  assert.strictEqual((await client.increment('n', 5, { initial: 10 })).value, 10);
  assert.strictEqual((await client.increment('n', 5, { initial: 10 })).value, 15);
  assert.strictEqual((await client.decrement('n', 20, { initial: 0 })).value, 0);
  await client.set('word', 'x');
  await fails(client.increment('word', 1, {}), /non-numeric/i);
}

async function time(client) {
  assert.strictEqual(await client.set('t', 'x', { expires: 100 }), true);
  assert.strictEqual(await client.touch('t', 200), true);
  assert.strictEqual(await client.touch('missing', 200), false);
  assert.strictEqual((await client.get('t')).value.toString(), 'x');
  // A second of 1970 has passed.
  assert.strictEqual(await client.set('t', 'x', { expires: 2592001 }), true);
  assert.strictEqual((await client.get('t')).value, null);
}

function statistics(client, argument) {
  return new Promise((resolve, reject) => {
    const done = (error, _server, stats) => (error ? reject(error) : resolve(stats));
    if (argument) {
      client.statsWithKey(argument, done);
    } else {
      client.stats(done);
    }
  });
}

async function administration(client) {
  const stats = await statistics(client);
  assert.ok(Number(stats.curr_items) > 0 && Number(stats.cmd_get) > 0, JSON.stringify(stats));
  assert.strictEqual((await statistics(client, 'settings')).item_size_max, '1048576');
  await new Promise((resolve, reject) => client.resetStats((error) => (error ? reject(error) : resolve())));
  assert.strictEqual((await statistics(client)).cmd_get, '0');
}

/// More data than a small RAM holds, read in no order.
async function bulk(client) {
  const value = (number) => Buffer.alloc(BULK_VALUE_BYTES, `${number} `);
  const numbers = Array.from({ length: BULK_ITEMS }, (_, number) => (number * 1709) % BULK_ITEMS);
  assert.strictEqual(new Set(numbers).size, BULK_ITEMS);
  for (let start = 0; start < BULK_ITEMS; start += BULK_PIPELINE) {
    const batch = numbers.slice(start, start + BULK_PIPELINE);
    await Promise.all(batch.map((number) => client.set(`bulk:${number}`, value(number))));
  }
  for (let round = 0; round < 2; round += 1) {
    for (let start = 0; start < BULK_ITEMS; start += BULK_PIPELINE) {
      const batch = numbers.slice(start, start + BULK_PIPELINE);
      const found = await Promise.all(batch.map((number) => client.get(`bulk:${number}`)));
      batch.forEach((number, index) => assert.ok(found[index].value.equals(value(number)), `bulk:${number}`));
    }
  }
}

async function main() {
  const client = memjs.Client.create(`127.0.0.1:${process.argv[2]}`, { timeout: 30, retries: 0, logger: quiet });
  await storage(client);
  await arithmetic(client);
  await time(client);
  await administration(client);
  await bulk(client);
  const flushed = await client.flush();
  assert.ok(Object.values(flushed).every((done) => done === true || done === undefined), JSON.stringify(flushed));
  assert.strictEqual((await client.get('a')).value, null);
  client.quit();
  console.log('memjs is served');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
