/**
 * The acts alone, with a folder over HTTP as the site and commands that answer as told: each must
 * fail for the fault that it is there to find.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import * as capture from '../../src/demo/foreign-acts/1-capture.ts';
import * as clients from '../../src/demo/foreign-acts/2-clients.ts';
import * as status from '../../src/demo/foreign-acts/4-status.ts';
import type { Reader } from '../../src/demo/foreign-archive.ts';
import type { Stage } from '../../src/demo/stage.ts';
import { createBuiltinClient } from '../../src/witness/builtin-client.ts';
import { packagesOf, serveArchive, SUITE, type ServedArchive } from '../support/served-archive.ts';

interface Setting {
  readonly served: ServedArchive;
  readonly stage: Stage;
  readonly reader: Reader;
  /** Immutable files of the release. */
  readonly members: number;
}

/** @param told the number of members that status shows, made of the right one */
const aSite = async (
  t: TestContext,
  told: (members: number) => number = (members) => members,
): Promise<Setting> => {
  const served = await serveArchive();
  t.after(() => served.close());
  const { files } = await served.archive.release(packagesOf('1.0'));
  const members = files.filter(({ kind }) => kind === 'pool' || kind === 'by-hash').length;
  const site = { name: 'fra', url: served.server.url, blobFolder: '' };
  const said = {
    site: 'fra',
    members: told(members),
    synced: told(members),
    verified: told(members),
  };
  const stage = {
    replicated: { distribution: SUITE },
    sites: [site],
    client: async (_site: unknown, reads: Parameters<Stage['client']>[1]) =>
      createBuiltinClient({
        ...reads,
        url: site.url,
        suite: SUITE,
        folder: join(served.archive.folder, '../client'),
      }),
    debgeo: async () => ({ exitCode: 0, stdout: '', stderr: '' }),
    status: async () => ({ sites: [said] }),
    say: () => {},
  } as unknown as Stage;
  const keyring = served.archive.key.publicBinary;
  const archive = { url: site.url, suite: SUITE, keyring, components: [], architectures: [] };
  return { served, stage, reader: { archive, keyring }, members };
};

const rotten = async ({ served }: Setting, path: string): Promise<void> => {
  const file = join(served.archive.folder, path);
  const bytes = await readFile(file);
  bytes[bytes.length >> 1]! ^= 1;
  await writeFile(file, bytes);
};

for (const exitCode of [1, 2, 3, 4]) {
  test(`the demo ends with ${exitCode} where debgeo does`, async () => {
    const stage = {
      replicated: { distribution: SUITE },
      configurationFile: 'demo.yaml',
      debgeo: async ([command]: readonly string[]) => ({
        exitCode: command === 'update' ? exitCode : 0,
        stdout: '',
        stderr: '',
      }),
    } as unknown as Stage;

    await assert.rejects(capture.play(stage), { exitCode });
  });
}

test('a client reads every package, and a rotten one is found', async (t) => {
  const setting = await aSite(t);

  assert.deepEqual(await clients.play(setting.stage, setting.reader), { packages: 2, listed: 2 });
  await rotten(setting, 'pool/main/h/hello/hello_1.0_amd64.deb');
  await assert.rejects(clients.play(setting.stage, setting.reader));
});

test('status equals a walk: a member more or less and a rotten file are found', async (t) => {
  const setting = await aSite(t);
  assert.deepEqual(await status.play(setting.stage, setting.reader), { members: setting.members });

  for (const lie of [1, -1]) {
    const lying = await aSite(t, (members) => members + lie);
    await assert.rejects(status.play(lying.stage, lying.reader));
  }
  await rotten(setting, 'pool/main/h/hello/hello_1.0.tar.xz');
  await assert.rejects(status.play(setting.stage, setting.reader));
});
