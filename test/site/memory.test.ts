import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { Memory } from '../../src/site/memory.ts';

const NEVER = new AbortController().signal;
const LIMITS = { memoryBytes: 400, routeBytes: 100, routeBlobs: 3 };

describe('Memory', () => {
  it('holds no more bytes of a route than it may, but at least one blob', async () => {
    const { memory, begun, end, hold } = aMemory();
    const all = [500, 60, 60, 40].map((bytes, at) => hold('a', bytes, String(at)));

    await settled();
    assert.deepEqual(begun, ['0']);
    await end('0');
    assert.deepEqual(begun, ['0', '1']);
    await end('1');
    assert.deepEqual(begun, ['0', '1', '2', '3']);
    await end('2');
    await end('3');
    await Promise.all(all);
    await memory.hold('a', 100, NEVER, () => Promise.resolve());
  });

  it('holds no more blobs of a route than it may, however small', async () => {
    const { begun, end, hold } = aMemory();
    const all = ['0', '1', '2', '3'].map((name) => hold('a', 0, name));

    await settled();
    assert.deepEqual(begun, ['0', '1', '2']);
    for (const name of ['0', '1', '2', '3']) await end(name);
    await Promise.all(all);
  });

  it('lets no route wait for another one, and gives each less when there are many', async () => {
    const { begun, end, hold } = aMemory();
    const names = Array.from({ length: 10 }, (_, at) => String.fromCharCode(97 + at));
    const first = names.map((name) => hold(name, 40, name));

    await settled();
    assert.deepEqual(begun, names, 'ten routes, one blob of 40 each');
    const second = hold('a', 40, 'a2');
    await settled();
    assert.equal(begun.length, 10, 'a share is 400 / 10 now');
    for (const name of names.slice(5)) await end(name);
    assert.equal(begun.at(-1), 'a2', 'and 400 / 5 when half of them have ended');

    for (const name of [...names.slice(0, 5), 'a2']) await end(name);
    await Promise.all([...first, second]);
  });

  it('lets go what ends while it waits, or fails, and gives the room to the next', async () => {
    const { memory, begun, end, hold } = aMemory();
    const stop = new AbortController();
    const failing = Promise.withResolvers<never>();
    const first = memory.hold('a', 60, NEVER, () => failing.promise);
    const second = memory.hold('a', 90, stop.signal, () => assert.fail('it was cancelled'));
    const third = hold('a', 40, 'third');

    await settled();
    assert.deepEqual(begun, [], 'first come, first served');
    stop.abort(new Error('cancelled'));
    await assert.rejects(second, /cancelled/);
    await settled();
    assert.deepEqual(begun, ['third']);
    const fourth = hold('a', 60, 'fourth');
    await settled();
    failing.reject(new Error('no'));
    await assert.rejects(first, /no/);
    await settled();
    assert.deepEqual(begun, ['third', 'fourth']);
    for (const name of ['third', 'fourth']) await end(name);
    await Promise.all([third, fourth]);
  });
});

function aMemory() {
  const memory = new Memory(LIMITS);
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  return {
    memory,
    begun,
    hold: (route: string, bytes: number, name: string) =>
      memory.hold(route, bytes, NEVER, () => {
        begun.push(name);
        return new Promise<void>((resolve) => ends.set(name, resolve));
      }),
    end: (name: string) => {
      ends.get(name)!();
      return settled();
    },
  };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
