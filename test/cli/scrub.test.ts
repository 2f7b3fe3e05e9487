/** `debgeo scrub`, and `pause` and `resume` of a site, as an operator runs them. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { readScrubs, type ScrubStatus } from '../../src/database/views/scrubs.ts';
import type { DistributionStatus } from '../../src/database/views/status.ts';
import { debgeo } from '../support/debgeo.ts';
import { aPackage, aWorld } from '../support/world.ts';

test('scrub', async (t) => {
  const world = await aWorld(t, { sites: ['fra'] });
  await world.release([aPackage('hello', '1.0')]);
  await world.update();
  const scrub = async () => (await readScrubs(world.database, 'fra'))[0]!;
  const ended = async (since: number) => {
    for (let row = await scrub(); (row.lastStartedAt ?? 0) < since; row = await scrub())
      await sleep(50);
    return scrub();
  };

  await t.test('shows what it costs before the first pass', async () => {
    const { stdout, exitCode, stderr } = await debgeo(world, 'scrub fra');

    assert.equal(exitCode, 0, stderr);
    assert.match(stdout, /^ +fra +never read whole .*next in /m);
    assert.match(stdout, /reads \d+ files, .* every 30 d, \d+ B\/s; .* is billed/);
    assert.match((await debgeo(world, 'doctor')).stdout, /^note +scrub of fra: reads \d+ files/m);
  });

  await t.test('--now begins a pass, and status shows what it read', async () => {
    const since = Date.now();
    const { exitCode, stderr } = await debgeo(world, 'scrub fra --now');
    assert.equal(exitCode, 0, stderr);
    const { files, filesTotal, wrong } = await ended(since);

    assert.ok(filesTotal > 0);
    assert.deepEqual([files, wrong], [filesTotal, 0]);
    const said = new RegExp(`^ +fra +all read since .* last pass: ${files} files, .* 0 wrong`, 'm');
    assert.match((await debgeo(world, 'status')).stdout, said);
    const [status] = JSON.parse(
      (await debgeo(world, 'status --json')).stdout,
    ) as DistributionStatus[];
    const { verifiedAt, scrub: shown } = status!.sites[0]!;
    assert.deepEqual([shown!.files, shown!.wrong, shown!.overdue], [files, 0, false]);
    assert.equal(verifiedAt, shown!.lastStartedAt);
  });

  await t.test('a paused site scrubs and prunes nothing until it is resumed', async () => {
    assert.equal((await debgeo(world, 'pause --site fra')).exitCode, 0);
    const since = Date.now();
    await debgeo(world, 'scrub fra --now');

    const pruned = await debgeo(world, 'prune --site fra');

    assert.equal(pruned.exitCode, 5, pruned.stderr);
    assert.match(pruned.stderr, /PAUSED: fra is paused/);
    assert.match((await debgeo(world, 'status')).stdout, /^ +fra .* paused$/m);
    await world.release([aPackage('hello', '2.0')]);
    await world.update();
    assert.ok((await scrub()).lastStartedAt! < since, 'lanes go on, the scrub does not');

    assert.equal((await debgeo(world, 'resume --site fra')).exitCode, 0);
    assert.equal((await ended(since)).wrong, 0);
    assert.equal((await debgeo(world, 'prune --site fra')).exitCode, 0);
  });

  await t.test('a name that does not exist is a usage error, and so is none', async () => {
    assert.equal((await debgeo(world, 'scrub nowhere')).exitCode, 2);
    assert.equal((await debgeo(world, 'pause --site nowhere')).exitCode, 2);
    assert.equal((await debgeo(world, 'pause')).exitCode, 2);
    assert.equal((await debgeo(world, 'scrub fra --json')).exitCode, 0);
    const shown = JSON.parse((await debgeo(world, 'scrub fra --json')).stdout) as ScrubStatus;
    assert.deepEqual([shown.site, shown.code], ['fra', null]);
  });
});
