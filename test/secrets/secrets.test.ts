import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { inspect } from 'node:util';

import { LIMITS } from '../../src/domain/limits.ts';
import { Secrets } from '../../src/secrets/secrets.ts';
import { refusesWith } from '../support/refuses-with.ts';

const root = mkdtempSync(join(tmpdir(), 'debgeo-secrets-'));
const folder = join(root, 'secrets');
const elsewhere = join(root, 'secrets-of-others');
for (const one of [folder, elsewhere]) {
  mkdirSync(one);
  writeFileSync(join(one, 'token'), `of ${one}\n`);
}

describe('what a reference names', () => {
  after(() => rmSync(root, { recursive: true }));
  const anywhere = new Secrets({}, null);
  const confined = new Secrets({}, folder);

  it('is a variable of debgeo, read each time', async () => {
    const variables: Record<string, string> = { DEBGEO_TOKEN: 'one' };
    const secrets = new Secrets(variables, null);

    const first = await secrets.read({ env: 'DEBGEO_TOKEN' });
    variables['DEBGEO_TOKEN'] = 'two';
    const second = await secrets.read({ env: 'DEBGEO_TOKEN' });
    variables['DEBGEO_TOKEN'] = '';
    const empty = await secrets.read({ env: 'DEBGEO_TOKEN' });

    assert.deepEqual([first, second, empty], ['one', 'two', null]);
    assert.equal(await secrets.read({ env: 'DEBGEO_OTHER' }), null);
  });

  for (const env of ['DATABASE_URL', 'AZURE_CLIENT_SECRET', 'debgeo_token', 'MY_DEBGEO_TOKEN', ''])
    it(`is never the variable "${env}"`, async () => {
      const secrets = new Secrets({ [env]: 'hush' }, null);

      await assert.rejects(
        secrets.read({ env }),
        (error) => refusesWith('REFERENCE_REFUSED')(error) && !inspect(error).includes('hush'),
      );
    });

  it('is a file, anywhere unless a folder is said', async () => {
    const file = join(elsewhere, 'token');
    assert.equal(await anywhere.read({ file }), `of ${elsewhere}\n`);
    assert.equal(await anywhere.read({ file: join(root, 'none') }), null);
    assert.equal(await confined.read({ file: join(folder, 'token') }), `of ${folder}\n`);
    assert.equal(await confined.read({ file: 'token' }), `of ${folder}\n`);
    assert.equal(await confined.read({ file: 'none' }), null);
  });

  it('may be a link within the folder, as Kubernetes mounts secrets', async () => {
    mkdirSync(join(folder, '..2026'));
    writeFileSync(join(folder, '..2026', 'sas'), 'linked');
    symlinkSync('..2026', join(folder, '..data'));
    symlinkSync('..data/sas', join(folder, 'sas'));

    assert.equal(await confined.read({ file: 'sas' }), 'linked');
  });

  it('is there at every moment at which Kubernetes replaces it', async () => {
    const mount = join(root, 'mount');
    mkdirSync(mount);
    symlinkSync('..data/sas', join(mount, 'sas'));
    const replace = (version: number): void => {
      mkdirSync(join(mount, `..${version}`));
      writeFileSync(join(mount, `..${version}`, 'sas'), String(version));
      symlinkSync(`..${version}`, join(mount, '..new'));
      renameSync(join(mount, '..new'), join(mount, '..data'));
      rmSync(join(mount, `..${version - 1}`), { recursive: true, force: true });
    };
    replace(0);
    const secrets = new Secrets({}, mount);
    let withoutTrying = 0;
    for (let version = 1; version <= 200; version += 1) {
      const found = realpathSync(join(mount, 'sas'));
      const reading = secrets.read({ file: 'sas' });
      for (let turn = 0; turn < version % 8; turn += 1) await setImmediate();
      replace(version);
      if (!existsSync(found)) withoutTrying += 1;

      assert.match((await reading) ?? 'missing', /^\d+$/);
    }
    assert.equal(withoutTrying, 200, 'it would be seen: what was resolved before is gone');
  });

  it('is never a file outside of the folder', async () => {
    symlinkSync(join(elsewhere, 'token'), join(folder, 'leading-out'));
    symlinkSync(elsewhere, join(folder, 'folder-leading-out'));
    for (const file of [
      join(elsewhere, 'token'),
      join(folder, '../secrets-of-others/token'),
      '../secrets-of-others/token',
      '/etc/passwd',
      'leading-out',
      'folder-leading-out/token',
      folder,
      '.',
    ])
      await assert.rejects(confined.read({ file }), refusesWith('REFERENCE_REFUSED'), file);
    for (const file of ['leading-out', 'folder-leading-out/token', '../secrets-of-others/token'])
      assert.ok(await anywhere.read({ file: join(folder, file) }), 'without the folder it is read');
  });

  it('is a regular file of bounded size', async () => {
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    writeFileSync(join(folder, 'large'), Buffer.alloc(LIMITS.secretBytes + 1, 'x'));
    writeFileSync(join(folder, 'largest'), Buffer.alloc(LIMITS.secretBytes, 'x'));

    for (const file of [pipe, root, '/dev/zero', join(folder, 'large')])
      await assert.rejects(anywhere.read({ file }), refusesWith('REFERENCE_REFUSED'), file);
    assert.equal((await anywhere.read({ file: join(folder, 'largest') }))!.length, 65_536);
  });

  it('is no file of the kernel: the environment would be one', async () => {
    assert.equal(await anywhere.read({ file: '/proc/self/environ' }), null);
  });
});
