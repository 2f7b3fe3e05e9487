/**
 * docs/gitlab.md, line by line: its commands of curl are run against the server of a GitLab, and
 * its configuration is filled with what they answered. Checked are steps 2 to 6, and the request
 * after a deletion; not the Rails console, `dput`, and the commands of debgeo, which
 * scenarios and the demo run.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { promisify } from 'node:util';

import { makeBinaryPackage } from '../../src/made-archive/deb-package.ts';
import { startGitLab } from '../../src/made-archive/gitlab-server.ts';
import { parseConfiguration } from '../../src/settings/configuration.ts';

const PAGE = join(import.meta.dirname, '../../docs/gitlab.md');

test('the commands of docs/gitlab.md do what the page says', async (t) => {
  const page = await readFile(PAGE, 'utf8');
  const blocks = [...page.matchAll(/^ *```sh\n([^]*?)^ *```/gm)].map(([, text]) => text!);
  const [create, upload, deployToken, key, location, , generate] = blocks;
  const gitlab = await startGitLab({ generationAfterMs: null });
  const folder = await mkdtemp(join(tmpdir(), 'debgeo-page-'));
  t.after(async () => {
    await gitlab.close();
    await rm(folder, { recursive: true });
  });
  const { registry } = gitlab;
  const project = registry.add('acme/tools', 'private');
  const environment: NodeJS.ProcessEnv = {
    ...process.env,
    ADMIN_TOKEN: registry.addToken(project, 'personal').secret,
    CI_JOB_TOKEN: registry.addToken(project, 'job').secret,
  };
  const names = /^GITLAB=.*?(?=  )/m.exec(create!)![0];
  const run = async (block: string): Promise<string> => {
    const text = `${names}\n${block}`.replaceAll('https://gitlab.example.org', gitlab.url);
    const shell = ['--noprofile', '--norc', '-euo', 'pipefail', '-c', text];
    return (await promisify(execFile)('bash', shell, { cwd: folder, env: environment })).stdout;
  };

  const created = JSON.parse(await run(create!)) as { readonly codename: string };
  assert.equal(created.codename, 'sid');
  const tool = makeBinaryPackage({
    ...{ name: 'tool', version: '1.0', architecture: 'amd64', payload: Buffer.from('tool') },
  });
  await writeFile(join(folder, 'tool_1.0_amd64.deb'), tool.file.bytes);
  await run(upload!);
  await registry.generate();
  const token = JSON.parse(await run(deployToken!)) as { username: string; token: string };
  await run(key!);
  environment['DEPLOY_USER'] = token.username;
  environment['DEPLOY_TOKEN'] = token.token;
  const [, link] = /^location: (\S+)/i.exec(await run(location!)) ?? [];
  await run(generate!);
  await registry.generate();
  assert.equal(registry.generations, 2, 'an upload is one generation, the request another one');

  const [, sample] = /^```yaml\n([^]*?)^```/m.exec(page) ?? [];
  const filled = sample!
    .replace('https://gitlab.example.org', gitlab.url)
    .replace(/redirect_origins: .*/, `redirect_origins: [${new URL(link!).origin}]`)
    .replace(/gitlab\+deploy-token-\d+/, token.username);
  const { archives } = parseConfiguration(filled, join(folder, 'debgeo.yaml'));
  const { url, keyring, redirect_origins, login } = archives['tools']!;
  assert.equal(url, gitlab.archiveUrl(project, 'path'));
  assert.deepEqual(redirect_origins, [gitlab.storage.url]);
  assert.equal(String(keyring), project.distributions.get('sid')!.key.publicArmored);
  assert.ok('user' in login! && login.user === token.username);
  const index = project.distributions
    .get('sid')!
    .newest({ component: 'main', kind: 'packages', architecture: 'amd64' });
  assert.match(String(index!.bytes), /^Package: tool\nVersion: 1\.0$/m);
});
